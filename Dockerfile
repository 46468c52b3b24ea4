# The receiver's image. Build it with `make image`; another base image, or a mirror, by --build-arg PYTHON=…
# Base: Debian's slim Python, since every dependency has a wheel for it and nothing needs a compiler.
ARG PYTHON=docker.io/library/python:3.13-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies first: they change seldom, so this layer is built seldom. Every file is checked against its hash.
COPY requirements.lock requirements-build.lock ./
RUN pip wheel --require-hashes --only-binary :all: --wheel-dir /wheels -r requirements.lock \
 && pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY controller controller
COPY webhook webhook
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels .
# An environment without pip, so that the image cannot install anything into itself.
RUN python -m venv --without-pip /opt/receiver \
 && pip --python /opt/receiver/bin/python install --no-index --find-links /wheels --compile 'kargo-azure-receiver[queue]'

FROM ${PYTHON}
LABEL org.opencontainers.image.title="kargo-azure-receiver" \
      org.opencontainers.image.description="Refreshes Kargo Warehouses when Azure reports a push" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/receiver /opt/receiver
ENV PATH=/opt/receiver/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Numeric, so that Kubernetes can see that it is not root. The manifests use the same.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["kargo-azure-receiver"]
CMD ["run"]
