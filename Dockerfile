# syntax=docker/dockerfile:1
# Two images from one file: `api` (also migrations and the reconciler; no torch) and `worker` (torch, transformers).
#   docker build --target api    --tag secateur-api .
#   docker build --target worker --tag secateur-worker .

ARG PYTHON_IMAGE=python:3.11-slim-trixie

# ── What every stage shares ──────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS base
ENV PATH="/opt/venv/bin:${PATH}" \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# ── Build: a virtual environment per image, so that no build tool is shipped ─
FROM base AS build
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml constraints.txt README.md LICENSE ./

FROM build AS build-api
COPY secateur ./secateur
COPY api ./api
COPY worker ./worker
COPY store ./store
COPY pruning_core ./pruning_core
COPY migrations ./migrations
RUN pip install --constraint constraints.txt '.[api]'

FROM build AS build-worker
# Which torch: PyPI's (CUDA on x86-64 Linux) unless an index is named, e.g. https://download.pytorch.org/whl/cpu.
ARG TORCH_INDEX_URL=https://pypi.org/simple
# torch in a layer of its own: an edited source file does not download it again.
RUN pip install --constraint constraints.txt --extra-index-url "${TORCH_INDEX_URL}" 'torch'
COPY secateur ./secateur
COPY api ./api
COPY worker ./worker
COPY store ./store
COPY pruning_core ./pruning_core
COPY migrations ./migrations
RUN pip install --constraint constraints.txt '.[worker,onnx]'

# ── Run: an unprivileged user, a writable /scratch, nothing else to write to ─
FROM base AS run
RUN groupadd --system --gid 10001 secateur \
    && useradd --system --uid 10001 --gid secateur --home-dir /scratch --no-create-home --shell /usr/sbin/nologin secateur \
    && install --directory --owner=secateur --group=secateur --mode=0700 /scratch
ENV HOME=/scratch \
    TMPDIR=/scratch \
    SECATEUR_SCRATCH_DIR=/scratch
WORKDIR /scratch
# By number, so that Kubernetes can see it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM

FROM run AS api
COPY --from=build-api /opt/venv /opt/venv
ENV HF_HOME=/scratch/huggingface
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["uvicorn", "api.app:create_app", "--factory", "--host", "0.0.0.0", "--port", "8000", \
    "--http", "api.protocol:BoundedProtocol", "--no-access-log", "--timeout-graceful-shutdown", "5"]

FROM run AS worker
COPY --from=build-worker /opt/venv /opt/venv
ENV HF_HOME=/scratch/huggingface
CMD ["celery", "-A", "worker.app", "worker", "-P", "prefork", "-c", "1", "-Q", "default", "--loglevel", "info"]
