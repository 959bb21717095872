"""What the OpenAPI document cannot say about Idempotency-Key: it names one intent, and with another body it is refused.

Schemathesis sends the same key with many bodies and would take each 422 for a valid request that was rejected. So in a
valid request, a key that was sent before goes out again only with the body it had; with another it is replaced by a fresh
one. Requests that are meant to be refused go out as they are.
"""

import uuid

import schemathesis

HEADER = "Idempotency-Key"

bodies = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get(HEADER)
    if key is None or case.meta.generation.mode.is_negative:
        return
    if bodies.setdefault(key, repr(case.body)) != repr(case.body):
        case.headers[HEADER] = str(uuid.uuid4())
