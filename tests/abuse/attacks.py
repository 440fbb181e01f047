"""Every attack, in the order in which they are carried out."""

from tests.abuse import bodies, crowds, files, heads
from tests.abuse.attack import Attack

ATTACKS = (
    Attack("hostile JSON", bodies.hostile_json, 76, 38),
    Attack("slow bodies", bodies.slow_bodies, 200, 0),
    Attack("bodies that never come", bodies.bodies_that_never_come, 200, 0),
    Attack("slow and silent heads", heads.slow_heads, 1000, 0),
    Attack("header bombs", heads.header_bombs, 120, 12),
    Attack("no HTTP, smuggled requests", heads.no_http, 320, 16),
    Attack("upload over the limit", files.upload_over_the_limit, 4, 1, "hung up on half a minute after its 413"),
    Attack("forged multipart", files.forged_forms, 92, 46),
    Attack("names with paths", files.names_with_paths, 252, 126),
    Attack("ten thousand labels", files.ten_thousand_labels, 1, 1),
    Attack("uploads in parts, forged", crowds.uploads_in_parts, 144, 36),
    Attack("ranges", crowds.ranges, 160, 8),
    Attack("downloads while deleted", crowds.downloads_while_deleted, 110, 11, "its job was deleted"),
    Attack("clients that do not read", crowds.clients_that_do_not_read, 100, 0),
    Attack("parallel polls", crowds.parallel_polls, 5000, 0),
    Attack("guessed keys", heads.guessed_keys, 6000, 200),
)
"""The last is refused by its address for the rest of a minute; what has a good key is not."""
