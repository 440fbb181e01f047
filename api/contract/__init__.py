"""What `/openapi.json` says of each route: examples, problems, headers, scopes, and where to go on from an answer.

Routes say what only they know (`fragments`); what follows from their shape is added here, once for all of them.
"""

from api.contract.document import install, operation_id
from api.contract.fragments import bytes_body, file_of, file_part, form_body, json_body, multipart_body, problems_of

__all__ = [
    "bytes_body",
    "file_of",
    "file_part",
    "form_body",
    "install",
    "json_body",
    "multipart_body",
    "operation_id",
    "problems_of",
]
