"""What the OpenAPI document cannot say about three parameters, so that what Schemathesis takes for a valid request is one.

An Idempotency-Key names one request, and is refused with another. So a key that was sent before goes out again only with
the request it had; with another it is replaced by a fresh one.

A cursor is given by the server, and belongs to one list with its parameters. So one that was made up is replaced by one
that the same list gave, with the parameters it gave it for; it is left out while the list has given none.

A boolean is also taken as other languages write it, so that such a value does not make a request wrong.

Other requests that are meant to be refused go out as they are.
"""

import uuid

import schemathesis

KEY = "Idempotency-Key"
CURSOR = "cursor"
FORCE = "force"

requests = {}
next_pages = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta.generation.mode.is_negative:
        if str((case.query or {}).get(FORCE)).lower() in ("0", "1", "true", "false"):
            case.query[FORCE] = "neither"
        return
    if (key := (case.headers or {}).get(KEY)) is not None:
        request = repr((place(case), case.body))
        if requests.setdefault(key, request) != request:
            case.headers[KEY] = str(uuid.uuid4())
    if CURSOR in (case.query or {}):
        del case.query[CURSOR]
        if (page := next_pages.get(place(case))) is not None:
            case.query.clear()
            case.query.update(page)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 200 and (cursor := response.json().get("next_cursor")) is not None:
        parameters = {name: value for name, value in (case.query or {}).items() if name != "offset"}
        next_pages[place(case)] = {**parameters, CURSOR: cursor}


def place(case):
    return repr((case.operation.label, case.path_parameters))
