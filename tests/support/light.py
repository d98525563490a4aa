"""Start what imports jsonschema without its check of international addresses, whose grammars take seconds to read."""

import sys

#: What jsonschema does without where it can't be imported.
SLOW = "rfc3987_syntax"


def light(module):
    """Return the command line that runs the function ``main`` of a module, less what is slow; arguments may follow."""
    code = f"import sys; sys.modules[{SLOW!r}] = None; from {module} import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code]
