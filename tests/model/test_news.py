"""What is news, and that it is news once."""

from datetime import UTC, datetime

from reconciler.model.names import ServiceName
from reconciler.model.news import News
from reconciler.model.notice import Kind, Notice

TASKS = ServiceName("tasks")


def notice(kind: Kind, message: str = "", *, service: ServiceName | None = TASKS, **more: object) -> Notice:
    facts = {"revision": "main@sha1:1", "data": {}} | more
    return Notice(kind=kind, at=datetime.now(UTC), message=message, service=service, **facts)  # type: ignore[arg-type]


def types(news: News, *notices: Notice) -> list[str | None]:
    told = [news.hear(one) for one in notices]
    return [item.type if item else None for item in told]


def test_a_service_fails_once_and_recovers_once() -> None:
    bad, worse = notice(Kind.RELEASE_FAILED, "TestsFailed: 1 of 3"), notice(Kind.RELEASE_FAILED, "ImportFailed: no x")
    good = notice(Kind.RELEASE_SWITCHED)
    told = types(News(), bad, bad, worse, good, good, bad)
    assert told == ["service.failed", None, "service.failed", "service.recovered", "service.released", "service.failed"]


def test_what_git_takes_back_is_a_recovery_only_of_what_failed() -> None:
    back = notice(Kind.SERVICE_RECOVERED)
    assert types(News(), back, notice(Kind.SERVICE_HELD, "ManifestInvalid: line 3"), back, back) == [
        None,
        "service.failed",
        "service.recovered",
        None,
    ]


def test_a_rollback_is_told_and_the_next_good_release_is_a_recovery() -> None:
    told = types(News(), notice(Kind.ROLLED_BACK, "it died"), notice(Kind.RELEASE_SWITCHED))
    assert told == ["service.rolled_back", "service.recovered"]


def test_progress_is_no_news_and_neither_is_a_sync_of_services_that_failed() -> None:
    finished = notice(Kind.SYNC_FINISHED, "failed", service=None, data={"state": "failed"})
    assert types(News(), notice(Kind.PHASE_BEGAN), notice(Kind.SYNC_STARTED, service=None), finished) == [None] * 3


def test_a_repository_that_cannot_be_followed_is_told_once_until_it_can() -> None:
    away = notice(Kind.SYNC_FINISHED, "no such host", service=None, revision=None, data={"state": "failed"})
    back = notice(Kind.SYNC_FINISHED, "done", service=None, data={"state": "done"})
    assert types(News(), back, away, away, back, back) == [None, "source.failed", None, "source.recovered", None]
