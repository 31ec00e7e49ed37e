# One image for the API and the workers; WITH_TORCH=0 builds the API's alone, without torch.
# TORCH_INDEX, an index of PyTorch's CPU builds, leaves out CUDA, which is gigabytes. It is an extra index, since
# it need not have what torch depends on in the versions of constraints.txt.
# CUDA=1 builds an image for GPUs: the build fails where pip has found a CPU build, and the image gets the compiler that
# Triton calls when a worker starts.
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=""
ARG WITH_TORCH=1
ARG CUDA=0
# The compiler of the C kernel, of whatever version: Debian's archive keeps only the latest, so a pin breaks with it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/rnnrbm
ENV PATH=/opt/rnnrbm/bin:$PATH
COPY constraints.txt ./
RUN if [ "$WITH_TORCH" = 1 ]; then \
      pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt torch==2.13.0; \
    fi && \
    if [ "$CUDA" = 1 ]; then \
      python -c "import torch; torch.version.cuda or exit('pip has found a PyTorch without CUDA; TORCH_INDEX may name another index.')"; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY worker worker
COPY client client
COPY service service
# pip is content without the kernel, the image is not; --verbose shows what the compiler said. -I: what is installed
# is imported, not what lies here.
RUN pip install --no-cache-dir --verbose --constraint constraints.txt . && \
    python -I -c "from model.kernel import best; best() or exit('The C kernel was not built; the log above says why.')"

FROM python:3.11-slim-bookworm
ARG CUDA=0
# hadolint ignore=DL3008
RUN if [ "$CUDA" = 1 ]; then \
      apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi
RUN useradd --create-home --uid 1000 rnnrbm && mkdir /data && chown rnnrbm /data
COPY --from=build /opt/rnnrbm /opt/rnnrbm
ENV PATH=/opt/rnnrbm/bin:$PATH RNNRBM_DATA=/data RNNRBM_HOST=0.0.0.0 PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/rnnrbm
VOLUME /data
EXPOSE 8000
CMD ["rnnrbm", "api"]
