# The components' image on a Kubeflow Pipelines server: the launcher is copied in, kfp is inside, the user is a number.
# It holds the whole command line, so the record keeper of a cluster (python -m serving.registrar) runs in it too.
# From the repository's root:  make images   or   docker build -f docker/pipeline.Dockerfile .
# In production name the base by digest: --build-arg BASE=docker.io/library/python@sha256:…
ARG BASE=docker.io/library/python:3.12-slim

FROM ${BASE} AS build
# Only here: the kernel's compiler. The final stage has neither it nor pip's packages.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends gcc libc6-dev binutils >/dev/null \
 && rm -rf /var/lib/apt/lists/*
ARG UV_VERSION=0.13.9
RUN python3 -m pip install --quiet --no-cache-dir --root-user-action=ignore uv==${UV_VERSION}
# The system's certificates, so that a company's own are believed where its proxy needs them.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    UV_PROJECT_ENVIRONMENT=/opt/serinus UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_NO_PROGRESS=1
WORKDIR /src
ARG OMIT=""
COPY pyproject.toml uv.lock ./
RUN uv sync --quiet --locked --no-dev --extra pipeline --extra mlflow --extra records --extra postgres --no-install-project \
      $(for name in ${OMIT}; do echo --no-install-package "$name"; done)
COPY hatch_build.py README.md LICENSE ./
COPY serinus serinus
COPY components components
COPY pipelines pipelines
COPY serving serving
COPY docker/slim.py docker/slim.py
RUN uv sync --quiet --locked --no-dev --extra pipeline --extra mlflow --extra records --extra postgres --no-editable \
      $(for name in ${OMIT}; do echo --no-install-package "$name"; done) \
 && /opt/serinus/bin/python -c "import serinus.model._native" \
 && python3 docker/slim.py /opt/serinus \
 && cp -L "$(ldconfig -p | sed -n 's/.*libgomp\.so\.1 .* => //p' | head -1)" /opt/serinus/lib/

FROM ${BASE}
COPY --from=build /opt/serinus /opt/serinus
COPY LICENSE /licenses/LICENSE
# Nothing is written below /opt; only /tmp and the places of KFP's artefacts need to be writable.
# LightGBM wants the OpenMP library that came with the compiler.
ENV PATH=/opt/serinus/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LD_LIBRARY_PATH=/opt/serinus/lib HOME=/tmp USER=serinus MPLCONFIGDIR=/tmp/matplotlib SERINUS_HOME=/tmp/serinus
# A number, so that Kubernetes can tell that it is not root; the name above is for libraries that ask for one.
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["python3", "-m", "pipelines"]
ARG VERSION=0.0.0+unknown
ARG COMMIT=unknown
ENV SERINUS_COMMIT=${COMMIT}
ARG SOURCE=""
LABEL org.opencontainers.image.title="serinus/pipeline" \
      org.opencontainers.image.description="The image of every pipeline component on a Kubeflow Pipelines server." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
