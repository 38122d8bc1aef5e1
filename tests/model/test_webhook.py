"""What is genuine and what is not, provider by provider; and what a genuine one is about."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.model.standard_webhooks import Key, NotSigned, verify
from reconciler.model.webhook.doors import BadSecret, doors_from, known_secrets
from reconciler.model.webhook.event import Event, Followed, Verdict, judge
from reconciler.model.webhook.received import Received, Refused, Unauthentic
from tests import webhooks
from tests.webhooks import ENVIRON, NOTHING, PUBLIC, SECRET, SIGNING, Hook

REF = {"ref": "main", "ref_type": "branch", "repository": {"full_name": "team/services"}}
FOLLOWED = Followed(webhooks.ADDRESS, "main")
DOORS = doors_from(ENVIRON)


def received(hook: Hook) -> Received:
    headers = {name.lower(): (value,) for name, value in hook.headers.items()}
    return Received(headers=headers, body=hook.body, at=webhooks.NOW)


def opened(hook: Hook) -> Event:
    return DOORS[hook.provider].open(received(hook))


def verdict(hook: Hook, followed: Followed = FOLLOWED) -> Verdict:
    return judge(opened(hook), followed)


def changed(hook: Hook, **headers: str | None) -> Hook:
    named = {**hook.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return replace(hook, headers={name: value for name, value in named.items() if value is not None})


# Genuine


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(webhooks.github(), id="GitHub"),
        pytest.param(webhooks.github(form=True), id="GitHub, as a form"),
        pytest.param(webhooks.gitea(), id="Gitea"),
        pytest.param(webhooks.gitea(kind="Forgejo"), id="Forgejo"),
        pytest.param(webhooks.gitea(kind="Gogs"), id="Gogs"),
        pytest.param(webhooks.gitea(form=True), id="Gitea, as a form, which signs what is in it"),
        pytest.param(changed(webhooks.gitea(), **{"X-Gitea-Signature": None}), id="Gitea, by GitHub's header"),
        pytest.param(webhooks.gitlab(), id="GitLab with a token"),
        pytest.param(webhooks.gitlab(token=None, signing=SIGNING), id="GitLab, signed"),
        pytest.param(webhooks.gitlab(token="another token of old", signing=SIGNING), id="GitLab with both"),
        pytest.param(webhooks.gitlab({"event_name": "push", "ref": "refs/heads/main"}), id="GitLab, of the system"),
        pytest.param(
            webhooks.gitlab({"event_name": "repository_update", "changes": [{"ref": "refs/heads/main"}]}),
            id="GitLab, several refs at once",
        ),
        pytest.param(webhooks.bitbucket(), id="Bitbucket Cloud"),
        pytest.param(
            webhooks.bitbucket("repo:refs_changed", webhooks.data_center_pushed()), id="Bitbucket Data Center"
        ),
        pytest.param(webhooks.standard(), id="Standard Webhooks"),
        pytest.param(webhooks.standard(key=PUBLIC), id="Standard Webhooks with ed25519"),
    ],
)
def test_a_genuine_push_to_the_branch_is_a_reason_to_look(hook: Hook) -> None:
    assert verdict(hook).state == "accepted"


def test_githubs_own_example_of_a_signature() -> None:
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    asked = Received(headers={"x-hub-signature-256": (f"sha256={digest}",)}, body=b"Hello, World!")
    DOORS["github"].provider.authenticate(asked, [SECRET.encode()])


def test_the_example_of_the_specification_of_standard_webhooks() -> None:
    key = Key.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    body = b'{"test": 2432232314}'
    verify([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature, body, 1614265330)
    assert key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == signature


def test_several_secrets_are_known_at_once() -> None:
    two = doors_from({"RECONCILER_WEBHOOK_GITHUB_SECRET": f"the-new-one-of-this-year, {SECRET}"})
    for secret in (SECRET, "the-new-one-of-this-year"):
        two["github"].open(received(webhooks.github(secret=secret)))


def test_a_token_may_hold_letters_of_any_language() -> None:
    door = doors_from({"RECONCILER_WEBHOOK_GITLAB_SECRET": "ein-schönes-passwort"})["gitlab"]
    door.open(received(webhooks.gitlab(token="ein-schönes-passwort".encode().decode("latin-1"))))


# Not genuine

FORGED = "sha256=" + "ab" * 32


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        pytest.param(webhooks.github(secret="another secret of theirs"), "not made with", id="another secret"),
        pytest.param(replace(webhooks.github(), body=b"{}"), "not made with", id="another body"),
        pytest.param(changed(webhooks.github(), **{"X-Hub-Signature-256": None}), "64 hex", id="no signature"),
        pytest.param(changed(webhooks.github(), **{"X-Hub-Signature-256": "sha256="}), "64 hex", id="an empty digest"),
        pytest.param(changed(webhooks.github(), **{"X-Hub-Signature-256": "ab" * 32}), "64 hex", id="no prefix"),
        pytest.param(changed(webhooks.github(), **{"X-Hub-Signature-256": "sha256=é"}), "64 hex", id="no digits"),
        pytest.param(changed(webhooks.github(), **{"X-Hub-Signature-256": FORGED}), "not made with", id="any digest"),
        pytest.param(
            changed(webhooks.github(), **{"X-Hub-Signature-256": None, "X-Hub-Signature": "sha1=" + "ab" * 20}),
            "SHA-1",
            id="SHA-1",
        ),
        pytest.param(changed(webhooks.gitea(), **{"X-Gitea-Signature": ""}), "64 hex", id="Gitea without a secret"),
        pytest.param(
            replace(webhooks.gitea(), headers={"X-Gitea-Event": "push"}), "no signature", id="Gitea without headers"
        ),
        pytest.param(webhooks.gitlab(token="another token of theirs"), "neither", id="GitLab, another token"),
        pytest.param(webhooks.gitlab(token=""), "neither", id="GitLab, no token"),
        pytest.param(webhooks.gitlab(token=SIGNING), "neither", id="GitLab, the signing secret as a token"),
        pytest.param(
            replace(webhooks.gitlab(token=None, signing=SIGNING), body=b"{}"), "no signature", id="GitLab, changed"
        ),
        pytest.param(webhooks.bitbucket(secret="another secret of theirs"), "not made with", id="Bitbucket, another"),
        pytest.param(
            changed(webhooks.bitbucket(), **{"X-Hub-Signature": "sha1=" + "a" * 40}), "64 hex", id="SHA-1 at Bitbucket"
        ),
        pytest.param(changed(webhooks.standard(), **{"webhook-id": "msg_other"}), "no signature", id="another id"),
        pytest.param(changed(webhooks.standard(), **{"webhook-timestamp": "12"}), "no signature", id="another moment"),
        pytest.param(changed(webhooks.standard(), **{"webhook-timestamp": "soon"}), "malformed", id="no moment"),
        pytest.param(webhooks.standard(at=webhooks.NOW - 301), "replay", id="five minutes old"),
        pytest.param(webhooks.standard(at=webhooks.NOW + 400), "replay", id="of the future"),
        pytest.param(changed(webhooks.standard(), **{"webhook-signature": "v1,%%%"}), "no signature", id="no base64"),
        pytest.param(
            changed(webhooks.standard(), **{"webhook-signature": "v2,YQ=="}), "no signature", id="a later version"
        ),
        pytest.param(changed(webhooks.standard(key=PUBLIC), **{"webhook-signature": "v1a,YQ=="}), "no sig", id="v1a"),
    ],
)
def test_what_is_not_genuine_is_refused(hook: Hook, why: str) -> None:
    with pytest.raises(Unauthentic, match=why):
        opened(hook)


def test_one_good_signature_among_others_is_enough() -> None:
    hook = webhooks.standard()
    others = " ".join(["v1,AAAA", "v1a,AAAA", hook.headers["webhook-signature"]])
    assert verdict(changed(hook, **{"webhook-signature": others})).state == "accepted"


def test_signatures_without_end_are_not_looked_at() -> None:
    hook = webhooks.standard(key=PUBLIC)
    many = "v1a,AAAA " * 11 + hook.headers["webhook-signature"]
    with pytest.raises((NotSigned, Refused)):
        opened(changed(hook, **{"webhook-signature": many[-990:]}))


# Genuine, and not to be understood


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda: hook_of(b"{"), "no JSON", id="half a document"),
        pytest.param(lambda: hook_of(b"\xff\xfe"), "no JSON", id="no text"),
        pytest.param(lambda: hook_of(b"[]"), "no object", id="a list"),
        pytest.param(lambda: hook_of(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "too deep", id="very deep"),
        pytest.param(lambda: hook_of(b'{"a": ' + b"9" * 5000 + b"}"), "no JSON", id="a number without end"),
        pytest.param(lambda: hook_of(b"", form=True), "`payload`", id="an empty form"),
        pytest.param(lambda: hook_of(b"payload=%ff", form=True), "cannot be read", id="a form that is no text"),
        pytest.param(lambda: hook_of(b"a=1&" * 40, form=True), "cannot be read", id="a form of very many fields"),
        pytest.param(
            lambda: changed(webhooks.github(), **{"X-Gitea-Event": "push"}), "/webhooks/gitea", id="another forge's"
        ),
        pytest.param(lambda: changed(webhooks.github(), **{"X-GitHub-Event": ""}), "x-github-event", id="no event"),
        pytest.param(
            lambda: changed(webhooks.github(), **{"X-GitHub-Event": "a" * 2000}), "longer", id="a very long header"
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence(make: Callable[[], Hook], why: str) -> None:
    with pytest.raises(Refused, match=why):
        opened(make())


def hook_of(body: bytes, form: bool = False) -> Hook:
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={webhooks.hexdigest(body)}"}
    if form:
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
    return Hook("github", headers, body)


def test_a_header_that_comes_twice_is_refused() -> None:
    asked = received(webhooks.github())
    twice = {**asked.headers, "x-hub-signature-256": (*asked.headers["x-hub-signature-256"], FORGED)}
    with pytest.raises(Refused, match="twice"):
        DOORS["github"].open(replace(asked, headers=twice))


# What it is about


@pytest.mark.parametrize(
    ("hook", "state", "reason"),
    [
        pytest.param(webhooks.github("ping", {"zen": "Keep it"}), "pong", "set up well", id="GitHub's ping"),
        pytest.param(
            Hook("bitbucket", {"X-Event-Key": "diagnostics:ping"}, b'{"test":true}'),
            "pong",
            "set up well",
            id="Data Center's ping, which is not signed",
        ),
        pytest.param(webhooks.standard({"type": "ping"}), "pong", "set up well", id="any ping"),
        pytest.param(
            webhooks.github(payload=webhooks.pushed("topic")),
            "ignored",
            "it is about the branch topic; what is followed here is the branch main",
            id="another branch",
        ),
        pytest.param(
            webhooks.github(payload=webhooks.pushed(name="a/b")),
            "ignored",
            "about a/b",
            id="another repo",
        ),
        pytest.param(
            webhooks.github(payload={**webhooks.pushed(), "ref": "refs/tags/main"}),
            "ignored",
            "the tag main",
            id="tag",
        ),
        pytest.param(webhooks.github("star", {"action": "created"}), "ignored", "star.created does not", id="a star"),
        pytest.param(webhooks.github("no_such_event", {}), "ignored", "no_such_event does not", id="an unknown event"),
        pytest.param(webhooks.github("create", webhooks.pushed()), "ignored", "a push event says", id="a new branch"),
        pytest.param(webhooks.github("repository", {"action": "renamed"}), "ignored", "another address", id="a rename"),
        pytest.param(
            webhooks.github(payload=webhooks.pushed(deleted=True, after=NOTHING)),
            "accepted",
            "was deleted",
            id="deleted",
        ),
        pytest.param(
            webhooks.github(payload=webhooks.pushed(forced=True)), "accepted", "a forced push", id="a forced push"
        ),
        pytest.param(webhooks.github(payload={}), "accepted", "without saying where", id="a push that says nothing"),
        pytest.param(
            webhooks.github(payload={"ref": 7, "repository": ["x"], "deleted": "yes", "after": {}}),
            "accepted",
            "without saying where",
            id="a push of wrong types",
        ),
        pytest.param(
            webhooks.gitlab(webhooks.gitlab_pushed(after=NOTHING)), "accepted", "was deleted", id="deleted at GitLab"
        ),
        pytest.param(webhooks.gitea("delete", REF), "accepted", "was deleted", id="deleted at Gitea, without a push"),
        pytest.param(webhooks.gitea("create", REF), "accepted", "a push to main", id="a branch renamed at Gitea"),
        pytest.param(
            webhooks.gitea("delete", {**REF, "ref_type": "tag"}), "ignored", "delete does not", id="a tag at Gitea"
        ),
        pytest.param(webhooks.gitlab({"object_kind": "issue"}), "ignored", "issue does not", id="an issue at GitLab"),
        pytest.param(webhooks.gitlab({}), "ignored", "Push Hook does not", id="nothing at GitLab"),
        pytest.param(
            webhooks.bitbucket(payload=webhooks.bitbucket_pushed("topic")),
            "ignored",
            "the branch topic",
            id="Bitbucket, another branch",
        ),
        pytest.param(webhooks.bitbucket("issue:created", {}), "ignored", "issue:created", id="an issue at Bitbucket"),
        pytest.param(webhooks.bitbucket(payload={}), "accepted", "without", id="nothing at Bitbucket"),
        pytest.param(
            webhooks.bitbucket("repo:refs_changed", webhooks.data_center_pushed(kind="DELETE")),
            "accepted",
            "was deleted",
            id="deleted at Data Center",
        ),
        pytest.param(
            webhooks.standard({"type": "built", "data": {"branch": "topic"}}),
            "ignored",
            "the branch topic",
            id="standard, another branch",
        ),
        pytest.param(
            webhooks.standard({"type": "built", "data": {"repository": "a/b"}}),
            "ignored",
            "about a/b",
            id="standard, another repository",
        ),
    ],
)
def test_what_it_is_about_decides(hook: Hook, state: str, reason: str) -> None:
    told = verdict(hook)
    assert told.state == state
    assert reason in told.reason


@pytest.mark.parametrize(
    ("location", "is_it"),
    [
        ("https://forge.example/team/services.git", True),
        ("https://forge.example/Team/Services", True),
        ("ssh://git@forge.example:2222/team/services.git", True),
        ("git@forge.example:team/services.git", True),
        ("https://internal.example/below/team/services", True),
        ("https://forge.example/team/services-two.git", False),
        ("https://forge.example/services.git", False),
        ("git@forge.example:other/services.git", False),
        ("/srv/git/anything", True),
    ],
)
def test_a_repository_is_known_by_its_path(location: str, is_it: bool) -> None:
    assert Followed(location, "main").is_among({"team/services", webhooks.ADDRESS}) is is_it


def test_somebody_elses_words_stay_on_one_line_and_are_short() -> None:
    told = verdict(webhooks.github(payload=webhooks.pushed("a\nb\x1b[31m" + "c" * 500)))
    assert "\n" not in told.reason and "\x1b" not in told.reason and len(told.reason) < 250


# The operator's secrets


def test_a_provider_without_a_secret_is_off() -> None:
    assert doors_from({}) == {}
    assert doors_from({"RECONCILER_WEBHOOK_GITHUB_SECRET": " , "}) == {}
    assert set(DOORS) == {"github", "gitlab", "gitea", "bitbucket", "standard"}


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("GITHUB", "short", "16 characters"),
        ("STANDARD", "It's a Secret to Everybody", "begins with whsec_"),
        ("STANDARD", "whsec_%%%", "base64"),
        ("STANDARD", "whsec_YQ==", "16 to 128 bytes"),
        ("STANDARD", "whpk_YQ==", "32 bytes"),
        ("GITLAB", "whsec_YQ==", "16 to 128 bytes"),
        ("GITHBU", "It's a Secret to Everybody", "there is no provider githbu"),
    ],
)
def test_a_bad_secret_is_refused_without_being_said(variable: str, value: str, why: str) -> None:
    with pytest.raises(BadSecret, match=why) as refused:
        doors_from({f"RECONCILER_WEBHOOK_{variable}_SECRET": value})
    assert value not in str(refused.value)


def test_secrets_are_known_and_shown_nowhere() -> None:
    assert set(known_secrets(ENVIRON).values()) == {SECRET, SIGNING, PUBLIC}
    shown = repr(DOORS)
    assert SECRET not in shown and base64.b64decode(SIGNING[6:]).decode() not in shown
