# AutoRec on a CPU, for machines that are not Linux:
#
#   docker build --platform linux/amd64 -t autorec .
#   docker run --platform linux/amd64 --rm -it -v autorec:/autorec autorec train
#
# The volume keeps data sets, compiled kernels and runs; any command of autorec goes in train's place.
FROM python:3.11-slim-bookworm

# MXNet and its kernels compute with OpenMP, which the slim image lacks.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 autorec \
    && install --directory --owner autorec /autorec

WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY locks/tools.txt locks/
COPY autorec autorec/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --requirement locks/tools.txt \
    && pip install --no-cache-dir --no-build-isolation --constraint constraints.txt '.[cpu,fast]'

USER 1000
WORKDIR /autorec
ENV AUTOREC_DATA=/autorec/data NUMBA_CACHE_DIR=/autorec/kernels
ENTRYPOINT ["autorec"]
CMD ["train"]
