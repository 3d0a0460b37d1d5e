"""The one exception that a user is meant to read."""


class UserError(Exception):
    """A user's mistake, in one line that names the offending value and the way out.

    The scripts print it on stderr and exit with code 2; no traceback is shown.
    """
