"""OpenAPI links: from every answer that shows a thing to all that can be asked about it."""

from api.contract.fragments import SCHEMAS, Fragment

#: The model that shows a thing, and the parameter that takes its id.
_ID_OF = {
    "JobView": "job_id",
    "SweepView": "sweep_id",
    "DatasetView": "dataset_id",
    "ModelView": "model_id",
    "UploadView": "upload_id",
    "NewKeyView": "key_id",
    "NewWebhookView": "webhook_id",
}


def add_links(document: Fragment) -> None:
    """Link the answers of what makes a thing to the operations on it."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    for operation in operations:
        for status in ("201", "202"):
            response = operation["responses"].get(status, {})
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            parameter = _ID_OF.get(schema.get("$ref", "").removeprefix(SCHEMAS))
            if parameter:
                response["links"] = {
                    target["operationId"]: {
                        "operationId": target["operationId"],
                        "parameters": {parameter: "$response.body#/id"},
                    }
                    for target in operations
                    if parameter in {each["name"] for each in target.get("parameters", [])} and target is not operation
                }
