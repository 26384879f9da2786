"""Labels as ONNX has them."""


def label_table(labels):
    """Return labels of a dtype that ONNX has; raise ValueError if there is none."""
    if labels.dtype.kind in "biuf":
        return labels
    for label in labels.tolist():
        if not isinstance(label, str):
            raise ValueError(
                "classes, and the outlier label beside them, must be all numbers or all "
                f"strings to be exported; got {label!r}."
            )
        try:
            label.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"classes must be valid Unicode to be exported; got {label!r}, which has "
                "a lone surrogate."
            ) from None
    return labels.astype(str)
