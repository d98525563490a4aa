"""A project's folder, and how a test changes it."""

from pathlib import PosixPath


class Project(PosixPath):
    """A folder with a script, ``main.py``, and a module that it uses, ``src/a.py``."""

    def script(self, code):
        """Save the script."""
        return self.save("main.py", code)

    def save(self, name, text):
        """Save a file, making the folders that it needs."""
        path = self / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
