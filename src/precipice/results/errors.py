"""The errors of a store or checkpoint that cannot be read, or of a file that cannot be written."""

from precipice._checks import InputError


class StoreError(InputError):
    """A store or checkpoint is absent, damaged or of another version.

    The message is one sentence: which store, which of its files, what is wrong, and the way out.
    """


class WriteError(StoreError):
    """A store, checkpoint or file could not be written (disk full, no permission); what was there is kept.

    Not the caller's fault, so the command line ends with status 1, not 2.
    """
