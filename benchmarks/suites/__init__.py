"""The suites: each a module with ``jobs(args)`` and ``tables(results)``.

The docstring of a module says what the suite measures, in its first line.
"""

from benchmarks.suites import (
    bundled,
    defaults,
    embeddings,
    guarantee,
    images,
    intents,
    letter,
    ossvm,
    tables,
)

SUITES = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        bundled,
        tables,
        intents,
        embeddings,
        ossvm,
        letter,
        images,
        guarantee,
        defaults,
    )
}
