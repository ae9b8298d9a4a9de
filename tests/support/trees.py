"""Trees of files as hypothesis makes them up."""

from hypothesis import strategies as st

from keyfast.installers.tree import Entry, with_folders

NAMES = st.text("abcdefghijklmnop-_.0123456789 ", min_size=1, max_size=40).filter(lambda name: name.strip(". "))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
ENTRIES = st.one_of(
    st.builds(Entry, PATHS, st.integers(0, 0o777), st.binary(max_size=2000)),
    st.builds(Entry, PATHS, st.integers(0, 0o777)),
    st.builds(Entry, PATHS, link=PATHS),
)


def sane(entries):
    """No path twice, and none below a file."""
    kept = {}
    for entry in entries:
        if not any(entry.path.startswith(f"{path}/") or path.startswith(f"{entry.path}/") for path in kept):
            kept[entry.path] = entry
    return with_folders(kept.values())


TREES = st.lists(ENTRIES, max_size=12).map(sane)
