"""The error of a store or checkpoint that cannot be read or written."""

from precipice._checks import InputError


class StoreError(InputError):
    """A store or checkpoint is absent, damaged, of another version, or could not be written.

    The message is one sentence: which store, which of its files, what is wrong, and the way out.
    """
