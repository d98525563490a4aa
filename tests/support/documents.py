"""Read, write and execute notebooks.

Importing ``nbformat`` takes longer than most tests, and so waits for the first notebook.
"""


def cells(*sources):
    """Return code cells."""
    import nbformat

    return [nbformat.v4.new_code_cell(source) for source in sources]


def read(path):
    """Read a notebook, and make sure that it is valid."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def write(path, cells):
    """Write a notebook."""
    import nbformat

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def client(folder, *sources):
    """Return nbclient's client of a notebook with these cells, which runs in a folder."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=cells(*sources))
    return nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}})


def texts(client):
    """Return what each cell of a client's notebook has printed."""
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in client.nb.cells]
