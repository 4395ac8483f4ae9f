# kvrecall's images:
#
#   docker build -t kvrecall .                                  server and client
#   docker build -t kvrecall:cuda --build-arg VARIANT=cuda .    the same for a GPU
#   docker build -t kvrecall-client --target client .           the client alone
#
# --build-arg COMMIT=$(git rev-parse --short=12 HEAD) puts the commit into each
# run's provenance; --build-arg DEBIAN=trixie takes Debian 13. Podman keeps the
# health check with --format docker. deploy/README.md says how to run them;
# tests/ops/compose.sh (Docker) and tests/ops/fresh-root.sh (Podman) build and run
# them.

ARG DEBIAN=bookworm
ARG VARIANT=cpu

# One user everywhere, so that volumes may change from one image to the other.
FROM debian:${DEBIAN}-slim AS user
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data \
    --shell /usr/sbin/nologin kvrecall \
  && install -d -o kvrecall -g kvrecall /data /models
ENV HOME=/data XDG_DATA_HOME=/data HF_HOME=/models

# --- the client ---------------------------------------------------------------
# First: Docker's older builder runs all stages before the one that is asked for.
FROM debian:${DEBIAN}-slim AS client-tools
WORKDIR /src
COPY deploy/install-deps.sh deploy/
RUN deploy/install-deps.sh --client --no-recommends

FROM client-tools AS client-build
ARG COMMIT=unknown
COPY . .
RUN cmake --preset release -DKVRECALL_TESTS=OFF -DKVRECALL_SERVER=OFF \
    "-DKVRECALL_COMMIT=${COMMIT}" \
  && cmake --build build/release \
  && cmake --install build/release --prefix /usr/local --strip \
  && deploy/runtime-packages.sh /usr/local/bin/kvrecall-client > /packages

FROM user AS client
COPY --from=client-build /packages /tmp/packages
COPY --from=client-build /src/deploy/install-deps.sh /tmp/
RUN /tmp/install-deps.sh --runtime /tmp/packages --no-recommends \
  && rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY --from=client-build /usr/local/ /usr/local/
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["kvrecall-client"]
CMD ["--help"]

# --- the server ---------------------------------------------------------------
# libtorch: Debian's, or PyTorch's wheel with that of CUDA's compiler; the driver is
# the machine's, which the container engine brings in. One stage for both: some
# engines do not find a stage that an argument names, or build those that are not
# asked for.
FROM client-tools AS tools
RUN deploy/install-deps.sh --no-recommends
ARG VARIANT
ARG TORCH=2.11.0
ARG NVCC=13.0.88
ARG CCCL=13.0.85
RUN case "${VARIANT}" in \
  cpu) echo "export PRESET=release LIBTORCH=" > /variant ;; \
  cuda) \
    apt-get update -q \
    && apt-get install -y -q --no-install-recommends python3-venv \
    && python3 -m venv /opt/torch \
    && /opt/torch/bin/pip install --no-cache-dir \
      "torch==${TORCH}" "nvidia-cuda-nvcc==${NVCC}" "nvidia-cuda-cccl==${CCCL}" \
    && ln -s /opt/torch/lib/python3*/site-packages /opt/packages \
    && echo "export PRESET=cuda LIBTORCH=/opt/packages/torch" \
      "CUDACXX=/opt/packages/nvidia/cu13/bin/nvcc" \
      "LIBRARY_PATH=/opt/packages/nvidia/cu13/lib" > /variant ;; \
  *) echo "VARIANT=${VARIANT}: it is cpu or cuda" >&2; exit 2 ;; \
  esac

FROM tools AS build
ARG COMMIT=unknown
COPY . .
RUN . /variant \
  && cmake --preset "${PRESET}" -DKVRECALL_TESTS=OFF \
    "-DKVRECALL_COMMIT=${COMMIT}" "-DCMAKE_PREFIX_PATH=${LIBTORCH}" \
    -DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON \
  && cmake --build "build/${PRESET}" \
  && cmake --install "build/${PRESET}" --prefix /usr/local --strip \
  && deploy/runtime-packages.sh /usr/local/bin/kvrecall-* > /packages
# What the programs need and no package has: with CUDA, the wheels' libraries.
RUN . /variant && mkdir -p /libraries \
  && if [ -n "${LIBTORCH}" ]; then \
    mkdir /libraries/opt && cp -P /opt/packages /libraries/opt/ \
    && cd /opt/packages/ && find torch/lib nvidia/*/lib -name '*.so*' \
      | tar -c -T - \
      | tar -x --one-top-level="/libraries$(realpath /opt/packages)"; \
  fi

FROM user AS server
COPY --from=build /packages /tmp/packages
COPY --from=build /src/deploy/install-deps.sh /tmp/
RUN /tmp/install-deps.sh --runtime /tmp/packages --no-recommends \
  && rm -rf /tmp/* /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
COPY --from=build /libraries/ /
COPY --from=build /usr/local/ /usr/local/
# For the GPU's container runtime; without one they say nothing.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /data
# Model folders, or the Hub's cache; databases, certificates and tokens.
VOLUME ["/models", "/data"]
EXPOSE 50551 9464
STOPSIGNAL SIGTERM
# The client's variables apply: with TLS, KVRECALL_CA; another port or address,
# KVRECALL_SERVER. A model of 15 GB takes minutes to load.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
  CMD ["kvrecall-client", "health"]
ENTRYPOINT ["kvrecall-server"]
CMD ["--model", "nano"]
