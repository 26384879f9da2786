"""Data frames of pandas, which nothing else needs."""


def frame_of(columns, index):
    """Return a pandas.DataFrame with one row a class, which takes pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas") from error
    return pd.DataFrame(columns, index=pd.Index(index, name="class"))
