# Holdfast's images, one target each. docs/how-to/bring-your-cluster.md says how to build them.
#
# Whoever builds says what they stand on, by digest. Nothing else is fetched and nothing is installed, so that a build needs no network.
# A base that is not given has a name that no registry can know, because a lower case one might be somebody's.
ARG COMPILER_IMAGE
ARG PYTHON_IMAGE

FROM ${COMPILER_IMAGE:-GIVE_BUILD_ARG_COMPILER_IMAGE_BY_DIGEST} AS launch
USER 0:0
WORKDIR /build
COPY provider/holdfast/dataplane/agent/launch.c ./
COPY provider/holdfast/dataplane/agent/mask.h ./
RUN cc -static -Os -Wall -o launch launch.c

FROM ${PYTHON_IMAGE:-GIVE_BUILD_ARG_PYTHON_IMAGE_BY_DIGEST} AS python

# Where a Python looks for packages only it can say, and a COPY cannot ask.
FROM python AS agent-files
ARG COMPILER_IMAGE
ARG PYTHON_IMAGE
USER 0:0
WORKDIR /build
COPY tools/agent_image.py ./
COPY provider/holdfast/__init__.py holdfast/
COPY provider/holdfast/dataplane/__init__.py holdfast/dataplane/
COPY provider/holdfast/dataplane/agent/*.py holdfast/dataplane/agent/
COPY --from=launch /build/launch ./
RUN ["python", "-I", "agent_image.py"]

FROM python AS agent
ARG PYTHON_IMAGE
ARG REVISION
LABEL org.opencontainers.image.title="holdfast-agent" \
      org.opencontainers.image.description="Lays out a Run of Holdfast in its pod, and stores what it made" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=agent-files /build/image/ /
USER 65532:65532
ENTRYPOINT ["python", "-I", "-m", "holdfast.dataplane.agent.pod"]
