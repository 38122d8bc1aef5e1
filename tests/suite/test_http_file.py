"""`.http` files are played as editors play them, as far as that goes without scripts."""

import asyncio

import pytest

from reconciler.model.document import Invalid
from reconciler.model.suite.case import Suite
from reconciler.model.verdict import Verdict
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.suite.declaring import declare

EVERYTHING = """
@host = http://localhost:3000
@base = {{host}}/
@title = Write the docs
@greeting = {{title}} today

### Log in
# @name login
GET {{host}}/login HTTP/1.1
Accept: application/json

?? status == 200
?? header set-cookie includes HttpOnly
?? body token == t0k3n

### Create a task
// @name created
POST {{host}}/tasks
Content-Type: application/json
Authorization: Bearer {{login.response.body.$.token}}

{
  "title": "{{greeting}}",
  "tags": ["a", "b"]
}

?? status == 201
?? status < 300
?? body $.title startsWith Write
?? body $.tags[*] includes b
?? body tags.0 == "a"
?? body $.missing not exists
?? body $.id isNumber
?? body includes "docs"
?? duration < 4000
?? header content-type matches ^application/json

###
GET {{host}}/tasks/{{created.response.body.id}}

###
GET {{host}}/echo
    ?etag={{created.response.headers.ETag}}
    &word=a%20b

?? body query.1.1 == a b

### Follows redirects
GET {{host}}/moved

### Not this one
# @no-redirect
GET {{host}}/moved

?? status == 307

### A form
POST {{host}}/echo
Content-Type: application/x-www-form-urlencoded

name=Ada
&size=3

?? body body == name=Ada&size=3

### A file
PUT /echo
Host: localhost:3000

< ./body.txt

?? body body == from a file
"""


def http(text: str, **more: str) -> Suite:
    (found,) = declare({"service.yaml": "version: 1\ntests: [a.http]", "a.http": text, **more}).suites
    return found


def test_a_file_with_everything_in_it_passes(tasks: Target) -> None:
    found = http(EVERYTHING, **{"body.txt": "from a file"})
    report = asyncio.run(play([found], tasks, replay=False))
    assert not report.failing, [(one.name, one.summary) for one in report.failing]
    assert report.verdict is Verdict.PASSED
    assert len(report.cases) == 8
    assert [case.name for case in found.cases][:3] == [
        "Log in",
        "Create a task",
        "GET {{host}}/tasks/{{created.response.body.id}}",
    ]


def test_a_request_without_a_word_expects_success(tasks: Target) -> None:
    report = asyncio.run(play([http("GET {{url}}/tasks\n\n###\nGET {{url}}/broken\n")], tasks))
    assert [str(case.outcome) for case in report.cases] == ["passed", "failed"]
    assert report.failing[0].mismatches[0].expected == "2xx"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("GET {{u}}/x\n\n> {%\n client.test()\n%}", 3, "script", id="a response script"),
        pytest.param("< {%\n a = 1\n%}\nGET {{u}}/x", 1, "script", id="a request script"),
        pytest.param("GET {{u}}/x\n\n> ./check.js", 3, "script", id="a script in a file"),
        pytest.param("{{\n  exports.a = 1\n}}\nGET {{u}}/x", 1, "script", id="a script block"),
        pytest.param("GET {{u}}/x\n\n?? js response.ok == true", 3, "not known", id="a scripted assert"),
        pytest.param("GET {{u}}/x\n\n?? xpath //a == b", 3, "not known", id="XPath"),
        pytest.param("GET http://example.org/x", 1, "names a host", id="another host"),
        pytest.param("WS {{u}}/x", 1, "`WS`", id="a WebSocket"),
        pytest.param("# @loop for 3\nGET {{u}}/x", 2, "`@loop`", id="a loop"),
        pytest.param("GET {{u}}/x?a={{$randomInt}}", 1, "$randomInt", id="a generator"),
        pytest.param(
            "GET {{u}}/{{login.response.body.$.id}}", 1, "no request is named `login`", id="an unnamed response"
        ),
        pytest.param("GET {{u}}/{{id}}", 1, "`id` is not defined", id="an undefined variable"),
        pytest.param("GET {{u}}/x\nno header here\n", 2, "no header", id="a line that is no header"),
    ],
)
def test_what_a_suite_cannot_do_is_refused_by_name(text: str, line: int, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        http(text)
    problem = refused.value.problems[0]
    assert told in problem.message
    assert (problem.file, problem.line) == ("services/tasks/a.http", line)
