"""Attacks with uploads and names of files."""

import json
from collections import Counter
from collections.abc import AsyncIterator

from tests.abuse.victim import MIB, Victim
from tests.abuse.wire import exchange, exchanges, request
from tests.unit.api.uploads import bert_files, sentences

FORM = "multipart/form-data; boundary=b"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    """A part of a form, of which nothing is escaped."""
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


END = b"--b--\r\n"


async def upload_over_the_limit(victim: Victim, times: int) -> Counter[str]:
    """A gibibyte where 100 MiB are allowed: announced, or in chunks of a length that nobody knows."""

    async def gibibyte(chunked: bool) -> AsyncIterator[bytes]:
        how = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": str(1 << 30)}
        yield request("POST", "/v1/datasets", victim.key, b"", Content_Type=FORM, **how)
        first = b'--b\r\nContent-Disposition: form-data; name="train"; filename="t.csv"\r\n\r\ntext,label\n'
        for number in range(1024):
            piece = first if number == 0 else b"x" * MIB
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece

    found: Counter[str] = Counter()
    for number in range(times):
        found[await exchange(victim.port, gibibyte(bool(number % 2)))] += 1
    return found


async def forged_forms(victim: Victim, times: int) -> Counter[str]:
    """Forms that break off, that have no boundary or another, a hundred thousand parts, or heads without an end."""
    csv = sentences(50)
    whole = part("name", b"n") + part("train", csv, "t.csv")
    forms: list[tuple[str, bytes]] = [
        (FORM, whole),
        (FORM, whole[:-20]),
        ("multipart/form-data", whole + END),
        ("multipart/form-data; boundary=", whole + END),
        ("multipart/form-data; boundary=" + "b" * 5000, whole + END),
        ("multipart/form-data; boundary=c", whole + END),
        ("multipart/mixed; boundary=b", whole + END),
        (FORM, part("name", b"n") * 100_000 + END),
        (FORM, b"".join(part(f"s{n}", csv, f"s{n}.csv") for n in range(2000)) + END),
        (FORM, b"--b\r\n" + b"X-A: " + b"a" * 500_000 + b"\r\n\r\n" + END),
        (FORM, b"--b\r\n" + b"X: 1\r\n" * 50_000 + b"\r\n" + END),
        (FORM, b"--b\r\nno colon here\r\n\r\nx\r\n" + END),
        (FORM, b"--b\r\n\r\nx\r\n" + END),
        (FORM, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END),
        (FORM, part("name", b"\x00\xff") + part("train", csv, "t.csv") + END),
        (FORM, part("name", b"n" * 500_000) + part("train", csv, "t.csv") + END),
        (FORM, part("name", b"n") + part("train", csv, "t.csv") * 2 + END),
        (FORM, part("name", b"n") + part("train", b"", "t.csv") + END),
        (FORM, part("name", b"n") + part("train", b"\x00" * 1000, "t.csv") + END),
        (FORM, part("name", b"n") + part("train", b"text,label\n\xff\xfe,1\n", "t.csv") + END),
        (FORM, part("name", b"n") + part("train", b"PAR1" + b"\xff" * 500 + b"PAR1", "t.parquet") + END),
        (FORM, part("name", b"n") + part("train", b'{"a":' * 100_000, "t.jsonl") + END),
        (FORM, part("name", b"n") + part("train", ",".join(f"c{n}" for n in range(50_000)).encode(), "t.csv") + END),
    ]
    found: Counter[str] = Counter()
    for number in range(times):
        kind, form = forms[number % len(forms)]
        path = "/v1/datasets" if number // len(forms) % 2 == 0 else "/v1/models"
        found[await exchange(victim.port, [request("POST", path, victim.key, form, Content_Type=kind)])] += 1
    return found


async def names_with_paths(victim: Victim, times: int) -> Counter[str]:
    """Names of files that lead elsewhere, in uploads and in downloads."""
    names = [
        "../../etc/passwd", "/etc/passwd", "..\\..\\x", "C:\\x.csv", "a\0b.csv", ".", "..", "", "~root/.ssh/id_rsa",
        "file:///etc/passwd", "a" * 5000, "%2e%2e%2fetc%2fpasswd", "....//....//etc/passwd", "\u202egnp.csv", "con.csv",
        "model/../../../config.json", "model/config.json\0.txt", "\udcff.csv",
    ]  # fmt: skip
    files = bert_files()
    job = victim.accepted[-1]
    each: list[bytes] = []
    for name in names:
        asked = "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "surrogateescape")) or "%20"
        plain = name.encode("ascii", "ignore").decode().replace("\0", "%00").replace(" ", "%20")
        each += [
            request("GET", f"{job}/artifacts/{asked}", victim.key),
            request("GET", f"{job}/artifacts/{plain}", victim.key),
            request("GET", f"/hf/jobs/{job.rpartition('/')[2]}/resolve/main/{asked}", victim.key),
            request("GET", f"/v1/jobs/{asked}", victim.key),
            request("GET", f"/docs/{plain}"),
            request("POST", "/v1/datasets", victim.key, part("name", b"n") + part("train", sentences(50), name) + END,
                    Content_Type=FORM),
            request("POST", "/v1/models", victim.key, part("name", b"n") + b"".join(
                part("files", raw, name if path == "config.json" else path) for path, raw in files.items()) + END,
                    Content_Type=FORM),
        ]  # fmt: skip
    return await exchanges([exchange(victim.port, [each[number % len(each)]]) for number in range(times)])


async def ten_thousand_labels(victim: Victim, times: int) -> Counter[str]:
    """A dataset with ten thousand labels of long names, and a job that is to learn them."""
    rows = "".join(f"film {n},label {n} {'é' * 200}\n" for n in range(10_000) for _ in range(2))
    found: Counter[str] = Counter()
    for _ in range(times):
        form = part("name", b"n") + part("train", f"text,label\n{rows}".encode(), "t.csv") + END
        found[await exchange(victim.port, [request("POST", "/v1/datasets", victim.key, form, Content_Type=FORM)])] += 1
    with victim.client as client:
        made = client.get("/v1/datasets").json()["data"][0]
    body = json.dumps({**victim.spec, "dataset": made["uri"]}).encode()
    found[
        await exchange(victim.port, [request("POST", "/v1/jobs", victim.key, body, Content_Type="application/json")])
    ] += 1
    return found
