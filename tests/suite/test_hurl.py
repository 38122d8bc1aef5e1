"""`.hurl` files are played as they are; what a suite cannot do is refused by name, at its line."""

import asyncio

import pytest

from reconciler.model.document import Invalid
from reconciler.model.problem import Problem
from reconciler.model.suite.case import Suite
from reconciler.model.verdict import Verdict
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.suite.declaring import declare

EVERYTHING = r"""
# Log in
GET {{base_url}}/login

HTTP 200
[Captures]
token: jsonpath "$.token"
[Asserts]
cookie "session" == "s3ss10n"
header "Set-Cookie" contains "HttpOnly"

# Create a task
# and keep its number
POST {{base_url}}/tasks
Authorization: Bearer {{token}}
{
  "title": "Write \"it\" ${down}",
  "tags": ["a", "b"]

}

HTTP/1.1 201
Content-Type: application/json
[Captures]
id: jsonpath "$.id"
etag: header "ETag" replace "\"" ""
[Asserts]
status < 300
duration < 4000
jsonpath "$.id" isInteger
jsonpath "$.id" > 0
jsonpath "$.title" startsWith "Write"
jsonpath "$.title" endsWith "${down}"
jsonpath "$.title" matches /^Write "/
jsonpath "$.tags" count == 2
jsonpath "$.tags[*]" includes "b"
jsonpath "$.tags" nth 0 == "a"
jsonpath "$.missing" not exists
jsonpath "$.title" != "other"   # a comment
jsonpath "$.tags" isCollection
variable "etag" toInt == {{id}}
body contains "tags"
bytes > 10

GET {{base_url}}/tasks/{{id}}
HTTP *
[Asserts]
jsonpath "$.id" == {{id}}

POST {{base_url}}/echo
[Query]
q: a b
[Form]
name: Ada Lovelace
token: {{token}}
HTTP 200
[Asserts]
jsonpath "$.body" == "name=Ada+Lovelace&token=t0k3n"
jsonpath "$.query[0][1]" == "a b"

POST {{base_url}}/echo
[BasicAuth]
ada: secret
[Cookies]
theme: dark
```json
{"id": {{id}}}
```
HTTP 200
[Asserts]
jsonpath "$.headers.authorization" == "Basic YWRhOnNlY3JldA=="
jsonpath "$.headers.cookie" == "theme=dark"
jsonpath "$.headers['content-type']" == "application/json"

GET {{base_url}}/soon/hurl
[Options]
retry: 10
retry-interval: 1ms
HTTP 200
[Asserts]
jsonpath "$.state" == "done"

GET {{base_url}}/moved
[Options]
location: true
HTTP 200

GET {{base_url}}/text
HTTP 200
[Captures]
order: regex "order=(\\d+)"
name: body regex /name=(\w+)/
```
order=17; name=Ada
```

GET {{base_url}}/echo?order={{order}}&name={{name}}
HTTP 200
[Asserts]
jsonpath "$.query[0][1]" == "17"
jsonpath "$.query[1][1]" == "Ada"

DELETE {{base_url}}/tasks/{{id}}
HTTP 204

GET /asked/nobody
HTTP 200
[Asserts]
body == "0"
"""


def hurl(text: str) -> Suite:
    (found,) = declare({"service.yaml": "version: 1\ntests: [a.hurl]", "a.hurl": text}).suites
    return found


def refused(text: str) -> Problem:
    with pytest.raises(Invalid) as invalid:
        hurl(text)
    return invalid.value.problems[0]


def test_a_file_with_everything_in_it_passes(tasks: Target) -> None:
    found = hurl(EVERYTHING)
    report = asyncio.run(play([found], tasks, replay=False))
    assert not report.failing, [(one.name, one.summary) for one in report.failing]
    assert report.verdict is Verdict.PASSED
    assert [case.name for case in found.cases[:3]] == ["Log in", "and keep its number", "GET /tasks/${id}"]
    assert found.cases[0].place.line == 3


def test_a_failure_points_into_the_file(tasks: Target) -> None:
    report = asyncio.run(play([hurl('GET {{url}}/tasks\n\nHTTP 201\n[Asserts]\njsonpath "$" count == 99\n')], tasks))
    (failed,) = report.failing
    told = [(mismatch.what, mismatch.expected, mismatch.line) for mismatch in failed.mismatches]
    assert told == [("status", "201", 3), ("json $ count", "99", 5)]
    assert failed.file == "services/tasks/a.hurl"


def test_an_implicit_json_body_is_compared(tasks: Target) -> None:
    good = 'GET {{url}}/login\nHTTP 200\n{ "token" : "t0k3n" }'
    bad = 'GET {{url}}/login\nHTTP 200\n{ "token" : "other" }'
    assert asyncio.run(play([hurl(good)], tasks)).verdict is Verdict.PASSED
    assert asyncio.run(play([hurl(bad)], tasks)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param('GET {{u}}/x\nHTTP 200\n[Asserts]\nxpath "//a" exists', 4, "`xpath`", id="XPath"),
        pytest.param(
            'GET {{u}}/x\nHTTP 200\n[Asserts]\ncertificate "Subject" exists', 4, "`certificate`", id="a certificate"
        ),
        pytest.param('GET {{u}}/x\nHTTP 200\n[Captures]\na: xpath "//a"', 4, "`xpath`", id="XPath in a capture"),
        pytest.param("GET {{u}}/x\nHTTP 200\n[Asserts]\nbody daysAfterNow > 3", 4, "`daysAfterNow`", id="a filter"),
        pytest.param("GET {{u}}/x\nHTTP 200\n[Asserts]\nbody isCool", 4, "`isCool`", id="a predicate"),
        pytest.param(
            'GET {{u}}/x\nHTTP 200\n[Asserts]\nregex "(a)" == "a"', 4, "captures only", id="a pattern in an assert"
        ),
        pytest.param("GET {{u}}/x\n[Options]\nproxy: evil:80\nHTTP 200", 3, "`proxy`", id="an option"),
        pytest.param("GET {{u}}/x\n[Magic]\na: b\nHTTP 200", 2, "[Magic]", id="a section"),
        pytest.param("GET http://169.254.169.254/x\nHTTP 200", 1, "names a host", id="another host"),
        pytest.param("GET //evil/x\nHTTP 200", 1, "names a host", id="another host without a scheme"),
        pytest.param("GET {{u}}/../x\nHTTP 200", 1, "leads out", id="out of the service"),
        pytest.param("GET {{u}}/x", 1, "a case expects nothing", id="no response"),
        pytest.param("GET {{u}}/x\nHTTP *", 2, "a case expects nothing", id="any response"),
        pytest.param("GET {{u}}/x\nHTTP/2 200", 2, "HTTP/2", id="HTTP/2"),
        pytest.param("what is this", 1, "neither a request", id="something else"),
        pytest.param(
            'GET {{u}}/x\nHTTP 200\n[Asserts]\njsonpath "items" exists', 4, "not a JSONPath", id="no JSONPath"
        ),
        pytest.param("GET {{u}}/x/{{id}}\nHTTP 200", 1, "`id` is not defined", id="an undefined variable"),
        pytest.param("GET {{u}}/x\nHTTP 200\n<a>{{b}}</a>", 3, "not compared", id="XML"),
    ],
)
def test_what_a_suite_cannot_do_is_refused_by_name(text: str, line: int, told: str) -> None:
    problem = refused(text)
    assert told in problem.message
    assert (problem.file, problem.line) == ("services/tasks/a.hurl", line)
