"""How much a file may make: what is made counts, not what is read."""

import math

# Characters of JSON.
LARGEST_JSON = 2**23
# Bytes of the header of safetensors: that JSON as a string, and a list of the arrays.
LARGEST_HEADER = 3 * LARGEST_JSON
# Lists, dicts and items in JSON, each of which takes up to 230 bytes.
MOST_ITEMS = 2**20
# Objects of the model, some of which take a hundred times as much memory as JSON.
MOST_OBJECTS = 2**13
# Characters of JSON in archives of skops, all archives of a model together.
LARGEST_SCHEMA = 2**25
# Rows of an array without entries, which takes no byte of a file.
MOST_EMPTY_ROWS = 2**20
# Copies of the module that the caller gives: one for each estimator that a model names.
MOST_COPIES = 16


class Tally:
    """Counts of what takes more memory than it takes in a file, with limits."""

    def __init__(self):
        self.n_objects = self.n_characters = 0

    def add(self, n_objects=1, n_characters=0):
        """Add to the numbers; raise ValueError if that is too much for a model."""
        self.n_objects += n_objects
        self.n_characters += n_characters
        if self.n_objects > MOST_OBJECTS or self.n_characters > LARGEST_SCHEMA:
            raise ValueError(
                f"the model holds more than {MOST_OBJECTS} objects, or archives of skops "
                f"with more than {LARGEST_SCHEMA} characters"
            )


def check_items(text):
    """Raise ValueError if JSON, as str or bytes, holds too many lists, dicts and items."""
    marks = (b"[", b"{", b",") if isinstance(text, bytes) else ("[", "{", ",")
    n_items = sum(map(text.count, marks))
    if n_items > MOST_ITEMS:
        raise ValueError(f"it holds {n_items} items of JSON, of at most {MOST_ITEMS}")


def check_empty(name, array):
    """Raise ValueError if an array without entries has too many rows."""
    n_rows = math.prod(n for n in array.shape if n)
    if not array.size and n_rows > MOST_EMPTY_ROWS:
        raise ValueError(f"{name!r:.50} holds {n_rows} rows without entries")


def parse_integer(digits):
    """Return an integer of JSON that is not too long.

    Longer ones take time in arithmetic, and as keys each other's place in a dict.
    """
    if len(digits) > 20:
        raise ValueError(f"an integer must have at most 20 digits; got {len(digits)}")
    return int(digits)
