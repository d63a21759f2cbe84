# The drift sidecar (python -m serving.drift), with the last Alibi Detect under Apache-2.0: hence Python 3.11.
# From the repository's root:  make images   or   docker build -f docker/drift.Dockerfile .
# In production name the base by digest: --build-arg BASE=docker.io/library/python@sha256:…
ARG BASE=docker.io/library/python:3.11-slim

FROM ${BASE} AS build
# Only here: what takes symbols out of libraries.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends binutils >/dev/null \
 && rm -rf /var/lib/apt/lists/*
ARG UV_VERSION=0.13.9
RUN python3 -m pip install --quiet --no-cache-dir --root-user-action=ignore uv==${UV_VERSION}
# The system's certificates, so that a company's own are believed where its proxy needs them.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/serinus \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_NO_PROGRESS=1
WORKDIR /src
# What Alibi Detect asks for and its tests for tables never import: pictures, and drawing.
ARG OMIT="opencv-python scikit-image pywavelets networkx tifffile imageio lazy-loader matplotlib fonttools contourpy kiwisolver cycler pyparsing hf-xet"
COPY requirements/drift-apache.txt requirements/
RUN uv venv --quiet /opt/serinus \
 && uv pip sync --quiet --python /opt/serinus/bin/python requirements/drift-apache.txt \
 && for name in ${OMIT}; do uv pip uninstall --quiet --python /opt/serinus/bin/python "$name"; done
COPY docker/slim.py docker/slim.py
COPY serinus serinus
COPY serving serving
# The project asks for Python 3.12; the kernel and the monitor run on 3.11, which the tests hold.
RUN site=$(/opt/serinus/bin/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])") \
 && mkdir "$site/serving" \
 && cp -r serinus "$site/" && cp -r serving/__init__.py serving/drift "$site/serving/" \
 && /opt/serinus/bin/python -m compileall -q "$site/serinus" "$site/serving" \
 && /opt/serinus/bin/python -c "from alibi_detect.cd import ChiSquareDrift, KSDrift; import serving.drift.cli" \
 && python3 docker/slim.py /opt/serinus

FROM ${BASE}
COPY --from=build /opt/serinus /opt/serinus
COPY LICENSE /licenses/LICENSE
# Nothing is written below /opt; only --home (a volume) and /tmp need to be writable.
ENV PATH=/opt/serinus/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp USER=serinus NUMBA_CACHE_DIR=/tmp/numba SERINUS_HOME=/var/lib/serinus
# A number, so that Kubernetes can tell that it is not root; the name above is for libraries that ask for one.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8090
ENTRYPOINT ["python3", "-m", "serving.drift"]
ARG VERSION=0.0.0+unknown
ARG COMMIT=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="serinus/drift" \
      org.opencontainers.image.description="Watches a model's payloads for drift, with Alibi Detect 0.11.4." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
