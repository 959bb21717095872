"""What the OpenAPI document cannot say in its schemas, so that what Schemathesis takes for a valid request is one.

An Idempotency-Key names one request, and is refused with another. So a key that was sent before goes out again only with
the request it had; with another it is replaced by a fresh one.

A cursor is given by the server, and belongs to one list with its parameters. So one that was made up is replaced by one
that the same list gave, with the parameters it gave it for; it is left out while the list has given none.

Text has rules that the document has in words, since engines read patterns in different ways: no control characters, in
content no NUL, and in a title something that is visible. What breaks one gets a letter in the place of what does.

A boolean is also taken as other languages write it, so that such a value does not make a request wrong.

Other requests that are meant to be refused go out as they are.
"""

import unicodedata
import uuid

import schemathesis

KEY = "Idempotency-Key"
CURSOR = "cursor"
FORCE = "force"
TEXTS = {"client_message_id", "content", "sender_id", "title", "user_id"}
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(
    chr(c) for block in (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for c in block
)

requests = {}
next_pages = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta.generation.mode.is_negative:
        if str((case.query or {}).get(FORCE)).lower() in ("0", "1", "true", "false"):
            case.query[FORCE] = "neither"
        return
    if isinstance(case.body, dict):
        for name in TEXTS & case.body.keys():
            case.body[name] = allowed(name, case.body[name])
    for name in TEXTS & (case.query or {}).keys():
        case.query[name] = allowed(name, case.query[name])
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


def allowed(name, text):
    if not isinstance(text, str):
        return text
    refused = {"\0"} if name == "content" else {c for c in text if unicodedata.category(c) == "Cc"}
    text = "".join("x" if c in refused else c for c in text)
    # Wider than the server's rule for what shows nothing: letters, digits, marks, punctuation and symbols remain.
    if name == "title" and not any(unicodedata.category(c)[0] in "LNMPS" and c not in FILLERS for c in text):
        text = "x" + text[1:]
    return text


def place(case):
    return repr((case.operation.label, case.path_parameters))
