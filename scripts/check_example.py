"""Checks that what an example printed shows the chat of the seed's request.

    python3 scripts/check_example.py NAME STANDARD_OUTPUT STANDARD_ERROR

NAME says in which form: `embed_in_utoipa` prints its OpenAPI document and then, as a remark, the id; the others print the
whole chat, as JSON or as JavaScript shows an object.
"""

import json
import re
import sys
import uuid

METADATA = {"department": "technical", "priority": "high"}


def main() -> None:
    name, *files = sys.argv[1:]
    output, remarks = (open(file, encoding="utf-8").read() for file in files)
    if name == "embed_in_utoipa":
        document = json.loads(output)
        expect("Chat" in document["components"]["schemas"], "the document has no schema Chat", output)
        chat_id = found(r"in chat ([0-9a-f-]+)\.", remarks)
    else:
        for member, value in {"user_id": "user123", "title": "Support Session", **METADATA}.items():
            expect(value_of(member, output) == value, f"{member} is not {value!r}", output)
        expect(found(r"\bmetadata['\"]?: *(\{)", output), "there is no metadata", output)
        uuid.UUID(value_of("tenant_id", output))
        chat_id = value_of("id", output)
    expect(uuid.UUID(chat_id).version == 7, f"{chat_id} is not a UUID of version 7", output)
    print(f"created the chat {chat_id}")


def value_of(member: str, text: str) -> str:
    """The string that follows the member's name, which may be quoted."""
    return found(rf"(?<!\w)['\"]?{member}['\"]?: *['\"]([^'\"]*)['\"]", text)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    expect(match is not None, f"nothing looks like {pattern}", text)
    return match[1]


def expect(holds: bool, otherwise: str, text: str) -> None:
    if not holds:
        sys.exit(f"{text}\nerror: {otherwise}; the example's output is above.")


main()
