"""The dashboard in a real browser, over a real platform: what somebody sees, does and is kept from."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import Scheme, Visitor, browser, visiting
from tests.dashboard.serving import many, served
from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, held_by, service

SUITE = """version: 1
cases:
  - name: says its version
    GET: /version
    expect: {status: 200, json: {$.version: "%s"}}
"""
PHONE = {"width": 390, "height": 844}
LINK = re.compile(r"sign-in=http://[^/]+(/sign-in\?code=\S+)")


def shop(version: str, expected: str | None = None) -> dict[str, str]:
    files = service("shop", version, manifest="description: Sells things\nwatch_window: 0s\n")
    return {**files, "services/shop/tests.yaml": SUITE % (expected or version)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    """Two releases that were good, and a third that its suite refused."""
    with Platform(tmp_path_factory.mktemp("seen"), template) as made:
        made.commit({"services.yaml": PLATFORM, **service("steady"), **shop("1")})
        made.start()
        made.deploy(shop("2"))
        made.repository.commit(shop("3", expected="4"), "Sell <script>document.title='taken'</script> things")
        made.sync()
        yield made


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def session(seen: Platform, chrome: Browser) -> tuple[str, str]:
    """What a browser keeps after the printed link, for tests that begin behind the door."""
    link = LINK.search(seen.said())
    assert link is not None
    with visiting(chrome, home(seen)) as visitor:
        visitor.go(link[1])
        expect(visitor.page).to_have_url(home(seen) + "/")
        (cookie,) = visitor.page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        return cookie["name"], cookie["value"]


@pytest.fixture
def visitor(seen: Platform, chrome: Browser, session: tuple[str, str]) -> Iterator[Visitor]:
    with visiting(chrome, home(seen), session) as one:
        yield one
        assert (one.strangers, one.complaints) == ([], [])


def home(platform: Platform) -> str:
    return f"http://127.0.0.1:{platform.control_port}"


def row(visitor: Visitor, name: str) -> Locator:
    return visitor.page.locator("tbody tr").filter(has=visitor.page.get_by_role("link", name=name, exact=True))


def test_a_stranger_comes_to_the_door_and_in_with_a_token_and_out_again(seen: Platform, chrome: Browser) -> None:
    with visiting(chrome, home(seen)) as visitor:
        page = visitor.go("/services/shop")
        expect(page).to_have_url(home(seen) + "/sign-in")
        expect(page.get_by_label("Access token")).to_be_focused()
        page.keyboard.type("rcl_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This token is not known.")
        page.get_by_label("Access token").fill(seen.token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Services")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(home(seen) + "/sign-in")
        visitor.go("/")
        expect(page).to_have_url(home(seen) + "/sign-in")
        assert visitor.strangers == []


def test_somebody_sees_a_failure_finds_its_cause_goes_back_and_watches_it_turn_green(
    seen: Platform, visitor: Visitor
) -> None:
    page = visitor.go("/")
    expect(row(visitor, "shop")).to_contain_text("Stalled")
    expect(row(visitor, "shop")).to_contain_text("TestsFailed")
    expect(page.locator("tbody tr").first).to_contain_text("shop")

    page.get_by_role("link", name="shop", exact=True).click()
    expect(page.locator("#cause ~ .problem")).to_contain_text("services/shop/tests.yaml:5")
    case = page.locator("details.case[open]")
    expect(case).to_contain_text("says its version")
    expect(case.locator("tbody tr")).to_contain_text("json $.version")
    expect(case).to_contain_text("curl ")
    # A commit's subject is what somebody wrote, and stays that.
    expect(page.get_by_text("Sell <script>document.title='taken'</script> things")).to_be_visible()
    assert page.title() == "shop · reconciler"
    visitor.picture("failing-service", height=1450)

    page.get_by_role("button", name="Roll back to shop-1").click()
    expect(page.get_by_role("dialog")).to_contain_text("shop-1 takes the traffic from shop-2")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(".large")).to_have_text(re.compile("Ready.*Rolled back"))
    expect(page.locator("#now ~ dl")).to_contain_text("shop-1")
    assert seen.version("shop") == "1"
    visitor.go("/")
    expect(row(visitor, "shop")).to_contain_text("Ready")


def test_a_page_follows_what_happens_without_being_loaded_again(seen: Platform, visitor: Visitor, brake: Path) -> None:
    page = visitor.go("/")
    expect(page.locator("#link")).to_have_text("Live")
    page.evaluate("window.same = true")
    fresh = service("fresh", also=held_by(brake), manifest="timeout: {start: 60s}\n")
    seen.commit({**fresh, **service("quick"), **service("quicker")})
    seen.control.post("/v1/sync")
    expect(page.get_by_text("Sync in progress")).to_be_visible()
    expect(page.locator(".working")).to_contain_text("fresh")
    visitor.picture("sync-in-progress")
    brake.unlink()
    expect(row(visitor, "fresh")).to_contain_text("Ready")
    expect(page.get_by_text("Sync in progress")).to_be_hidden()
    assert page.evaluate("window.same"), "the page is the same one"


def test_a_page_that_may_not_listen_looks_again_by_itself(seen: Platform, visitor: Visitor) -> None:
    page = visitor.page
    # Every time: whoever is let in the next time is soon live, and may be before anybody looks.
    page.route("**/v1/events*", lambda route: route.fulfill(status=429, body="{}"))
    with page.expect_request(lambda request: request.headers.get("accept") == "text/html"):
        visitor.go("/")
    expect(page.locator("#link")).to_have_text("Connecting…")
    # The browser reports the refusal as an error of its own.
    visitor.complaints.clear()


def test_the_logs_are_written_on_and_no_terminal_is_obeyed(seen: Platform, visitor: Visitor) -> None:
    says = """

@router.get("/say")
async def say(what: str):
    print("\x1b[31m" + what + "\x1b[0m <b>bold</b>")
    return {}
"""
    seen.deploy(service("talking", also=says))
    page = visitor.go("/services/talking")
    expect(page.get_by_role("log")).to_be_visible()
    seen.services.get("/api/talking/say", params={"what": "hello"})
    expect(page.get_by_role("log")).to_contain_text("hello <b>bold</b>")
    assert "\x1b" not in (page.get_by_role("log").text_content() or "")


def test_everything_can_be_reached_and_done_by_keyboard(visitor: Visitor) -> None:
    page = visitor.go("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.get_by_label("Find a service")).to_be_focused()
    page.keyboard.type("stea")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(visitor.home + "/?q=stea")
    expect(page.get_by_label("Find a service")).to_be_focused()
    page.get_by_role("link", name="steady", exact=True).focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus can be seen"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="steady", exact=True)).to_be_visible()
    page.get_by_role("button", name="Suspend").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Suspend")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(seen: Platform, chrome: Browser, session: tuple[str, str], scheme: Scheme) -> None:
    found: dict[str, list[str]] = {}
    newest = seen.control.get("/v1/syncs").json()["items"][0]["id"]
    compared = "/services/shop/compare?before=shop-1&after=shop-2"
    with visiting(chrome, home(seen), session, color_scheme=scheme, reduced_motion="reduce") as visitor:
        for path in ("/", "/services/shop", compared, "/syncs", f"/syncs/{newest}", "/events", "/nowhere", "/sign-in"):
            visitor.go(path if path != "/nowhere" else "/services/nowhere")
            found[path] = visitor.faults()
            if path == "/":
                visitor.picture(f"services-{scheme}")
        assert not any(found.values()), found
        assert visitor.strangers == []


def test_a_phone_shows_all_of_it_and_needs_no_sideways_scrolling(
    seen: Platform, chrome: Browser, session: tuple[str, str]
) -> None:
    long = service("a-name-as-long-as-names-of-services-may-be-".ljust(63, "x"))
    sync = f"/syncs/{seen.deploy(long)['id']}"
    compared = "/services/shop/compare?before=shop-1&after=shop-2"
    with visiting(chrome, home(seen), session, viewport=PHONE, has_touch=True) as visitor:
        for path in (sync, "/services/shop", "/syncs", "/events", compared):
            page = visitor.go(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], path
            assert visitor.faults() == []
            if path == sync:
                assert page.locator(".lane svg").first.evaluate("drawn => drawn.clientWidth") > PHONE["width"] / 3
    seen.deploy(dict.fromkeys(long))
    with visiting(chrome, home(seen), session, viewport=PHONE, has_touch=True) as visitor:
        assert visitor.go("/").evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert visitor.faults() == []
        visitor.picture("phone")


def test_the_reference_shows_every_api_and_asks_nobody_else(visitor: Visitor) -> None:
    page = visitor.go("/docs")
    expect(page.get_by_role("heading", name="reconciler and its services")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("link", name="steady").first).to_be_visible()
    visitor.picture("reference")
    assert visitor.faults() == []


def test_two_thousand_services_are_light(chrome: Browser) -> None:
    with served(many(2000)) as (address, link), visiting(chrome, address, color_scheme="dark") as visitor:
        sizes: list[int] = []
        visitor.page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
        page = visitor.go(link)
        expect(page.locator("tbody tr")).to_have_count(100)
        expect(page.locator("tbody tr").first).to_contain_text("Stalled")
        assert sum(sizes) < 300_000
        visitor.picture("two-thousand")
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("101 to 200 of 2000")).to_be_visible()
        page.get_by_label("State").select_option("Syncing")
        expect(page.locator("tbody tr")).to_have_count(1)
        assert (visitor.strangers, visitor.complaints) == ([], [])
