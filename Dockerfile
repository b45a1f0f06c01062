# Everything that `make report` needs, so that it runs without a network:
#
#   docker build -t reproof .
#   docker run --name reproof --network none reproof       # GPUs: --gpus all
#   docker cp reproof:/reproof/report .
#
# Python 3.11 is Debian's; every package has the version of requirements.lock. 7 GB, mostly torch with CUDA;
# --build-arg TORCH=cpu: torch without CUDA, 2 GB.
# BASE: any Debian 12 or newer, for a registry of your own or a newer digest.
ARG BASE=debian:bookworm-20251229-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c
FROM ${BASE}

# Versions of Debian's packages are those of the day: a stable release changes by corrections alone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home reproof \
    && install -d -o reproof -g reproof /reproof

USER 1000:1000
WORKDIR /reproof

# Before the code, so that an edit of it installs nothing anew. LOCK=install-dev brings what the tests need, too.
ARG LOCK=install
ARG TORCH=pypi
COPY --chown=1000:1000 Makefile requirements.lock requirements-dev.lock ./
COPY --chown=1000:1000 tools/set_up.sh tools/only_with_cuda.txt tools/
RUN PIP_NO_CACHE_DIR=1 make "${LOCK}"

COPY --chown=1000:1000 . .

CMD ["make", "report"]
