"""`secateur models upload`, `list`, `show` and `delete`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from secateur import uploads
from secateur.cli.connection import connect
from secateur.cli.output import AsJson, age_text, bytes_text, print_deleted, print_json, results, say, table
from secateur.cli.transfer import transferring

app = typer.Typer(help="Upload and list models.", no_args_is_help=True)


@app.command()
def upload(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the model.", show_default=False)],
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A Hugging Face directory: what save_pretrained wrote.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Upload a model's configuration, tokenizer and safetensors weights, and print its id."""
    directory = directory.expanduser()
    files, left = uploads.model_files(directory)
    if left:
        say(f"Left out, not part of a model the service takes: {escape(', '.join(left))}")
    size = sum(path.stat().st_size for _, path in files)
    with connect(context) as client, transferring("Uploading", size) as count:
        model = client.upload_model(name, directory, count)
    if as_json:
        print_json(model)
        return
    results.print(model["id"], soft_wrap=True)
    say(
        f"Uploaded: {model['model_type']}, {model['parameters']:,} parameters. "
        f'Name it in a spec as "model": "{model["uri"]}".'
    )


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the team's models, newest first."""
    with connect(context) as client:
        models = list(client.models())
    if as_json:
        print_json(models)
        return
    listing = table("id", "type", "parameters", "size", "age", "name", right=("parameters", "size"))
    for model in models:
        listing.add_row(
            model["id"],
            escape(model["model_type"]),
            f"{model['parameters']:,}",
            bytes_text(model["size"]),
            age_text(model["created_at"]),
            escape(model["name"]),
        )
    results.print(listing)


@app.command()
def show(
    context: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="ID", help="The model's id.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a model's sizes, files, and what of it can be pruned."""
    with connect(context) as client:
        model = client.model(model_id)
    if as_json:
        print_json(model)
        return
    facts = table("", "")
    facts.show_header = False
    facts.add_row("model", escape(f"{model['name']}, {model['model_type']}"))
    facts.add_row("parameters", f"{model['parameters']:,}, of which {model['prunable_parameters']:,} can be pruned")
    facts.add_row("max length", f"{model['max_length']} tokens" if model["max_length"] else "–")
    for file in model["files"]:
        facts.add_row(escape(file["path"]), bytes_text(file["size"]))
    results.print(facts)
    listing = table("shape", "prunable matrix")
    for name, shape in model["prunable_matrices"].items():
        listing.add_row(" × ".join(map(str, shape)), escape(name))
    results.print(listing)


@app.command("delete")
def delete_model(
    context: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="ID", help="The model's id.")],
    as_json: AsJson = False,
) -> None:
    """Delete a model; refused while a job that has not ended uses it."""
    with connect(context) as client:
        client.delete_model(model_id)
    print_deleted(model_id, as_json=as_json)
