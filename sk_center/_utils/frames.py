"""Data frames of pandas, which nothing else needs."""


def frame_of(columns, index, name="class"):
    """Return a pandas.DataFrame with one row a class, or of another name; takes pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas") from error
    return pd.DataFrame(columns, index=pd.Index(index, name=name))
