"""A report of played suites, as the API tells it: whole, and with the sentence that sums it up."""

from pydantic import BaseModel

from reconciler.model.verdict import Report, SuiteResult, Verdict


class SuiteReport(BaseModel):
    service: str
    release: str
    verdict: Verdict
    summary: str
    flaky: bool
    seconds: float
    suites: tuple[SuiteResult, ...]

    @classmethod
    def of(cls, report: Report) -> "SuiteReport":
        return cls(
            service=report.service,
            release=report.release,
            verdict=report.verdict,
            summary=report.summary,
            flaky=report.flaky,
            seconds=report.seconds,
            suites=report.suites,
        )
