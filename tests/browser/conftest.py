import pytest
from lab import CHROMIUM, NO_BROWSER, Server, find_browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("root"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; pip install playwright"
    )
    path = find_browser()
    if path is None:
        pytest.skip(NO_BROWSER)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser):
    """One for all pages, so that what they load is loaded once."""
    return browser.new_context(viewport={"width": 1200, "height": 2400})
