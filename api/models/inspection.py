"""Looks through an uploaded model whole, without loading it, and says everything that is wrong with it."""

from collections import Counter
from dataclasses import dataclass
from math import prod

from api.models.configuration import BadConfiguration, Configuration, UnsupportedFamily, read_configuration
from api.models.filenames import what_is_missing, why_refused
from api.models.finite import first_not_finite
from api.models.safetensors import BadSafetensors, Tensor, read_header
from api.models.tokenizer import FILES, BadTokenizer, check_tokenizer
from api.models.weights import INDEX, BadWeights, check_weights, joined
from api.multipart import FilePart, Form
from api.problems import FieldError, Invalid, pointer
from store import JsonObject

MAX_FILES = 64

#: Largest file that is read into memory to be checked; the largest tokenizer.json in use is about 35 MB.
_MAX_PARSED_BYTES = 64 << 20


@dataclass(frozen=True)
class Inspected:
    """A model that passed."""

    configuration: Configuration
    tensors: dict[str, Tensor]
    files: dict[str, FilePart]

    @property
    def parameters(self) -> int:
        """Entries of all tensors."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    def tensors_document(self) -> JsonObject:
        """Type and shape by tensor name, as it is stored."""
        return {name: {"dtype": tensor.dtype, "shape": tensor.shape} for name, tensor in self.tensors.items()}


def inspect(form: Form) -> Inspected:
    """Check an upload whole.

    Raises:
        Invalid: Something is wrong; each problem is named.
    """
    files = _flat_directory(form)
    problems: list[str] = []
    configuration = None
    try:
        configuration = read_configuration(_content(files["config.json"]))
    except BadConfiguration as error:
        problems.append(str(error))
    tensors = None
    try:
        tensors = _tensors(files)
    except BadWeights as error:
        problems.append(str(error))
    if configuration is not None:
        try:
            check_tokenizer({name: _content(file) for name, file in files.items() if name in FILES}, configuration)
        except BadTokenizer as error:
            problems.append(str(error))
        try:
            if tensors is not None:
                check_weights(tensors, configuration)
        except BadWeights as error:
            problems.append(str(error))
    if problems or configuration is None or tensors is None:
        raise _refusal(problems)
    return Inspected(configuration, tensors, files)


def _refusal(details: list[str]) -> Invalid:
    return Invalid([FieldError("/files", detail) for detail in details], what="The model")


def _flat_directory(form: Form) -> dict[str, FilePart]:
    """The files by name; names and completeness are checked before any content."""
    errors = []
    for file in form.files:
        if file.field != "files":
            errors.append(
                FieldError(pointer(file.field), f"A file came as {file.field!r}. Send every file as `files`.")
            )
        elif reason := why_refused(file.filename):
            errors.append(FieldError("/files", reason))
        elif file.size == 0:
            errors.append(FieldError("/files", f"{file.filename!r} is empty. Upload it again."))
    counted = Counter(file.filename for file in form.files if file.field == "files")
    errors += [
        FieldError("/files", f"{name!r} is there {count} times. Send it once.")
        for name, count in counted.items()
        if count > 1
    ]
    errors += [FieldError("/files", detail) for detail in what_is_missing(counted)]
    if errors:
        raise Invalid([*_unsupported(form), *errors], what="The model")
    return {file.filename: file for file in form.files}


def _unsupported(form: Form) -> list[FieldError]:
    """What comes before every complaint about files: an image model has no tokenizer, and needs none to be refused."""
    for file in form.files:
        if file.filename == "config.json" and 0 < file.size <= _MAX_PARSED_BYTES:
            try:
                read_configuration(_content(file))
            except UnsupportedFamily as error:
                return [FieldError("/files", str(error))]
            except BadConfiguration:
                return []  # said once the files are complete
    return []


def _tensors(files: dict[str, FilePart]) -> dict[str, Tensor]:
    headers: dict[str, dict[str, Tensor]] = {}
    for name, file in files.items():
        if name.endswith(".safetensors"):
            file.stream.seek(0)
            try:
                headers[name] = read_header(file.stream, file.size).tensors
            except BadSafetensors as error:
                raise BadWeights(f"{name} is not a safetensors file: {error} Save the model again.") from error
            if bad := first_not_finite(file.stream, headers[name]):
                raise BadWeights(
                    f"Tensor {bad[:100]!r} holds NaN or infinity. Go back to a checkpoint from before it diverged."
                )
    return joined(headers, _content(files[INDEX]) if INDEX in files else None)


def _content(file: FilePart) -> bytes:
    if file.size > _MAX_PARSED_BYTES:
        raise _refusal([f"{file.filename!r} is over {_MAX_PARSED_BYTES:,} bytes, which is no such file."])
    file.stream.seek(0)
    return file.stream.read()
