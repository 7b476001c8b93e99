# The cockpit on a server:
#   docker build -t udacity-gym .
#   docker run --rm -p 8420:8420 -v "$PWD/drives:/work" udacity-gym
# The address of the page, with its token, is in the log. Files are kept in /work, which user 1000 must be able to write.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 driver && mkdir /work && chown driver /work

COPY . /src
# torch's own index has builds for CPUs, which are a tenth of the size; for a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --constraint /src/constraints.txt --extra-index-url "$TORCH_INDEX" "/src[train,plot,cockpit]"

USER 1000
# The doctor compiles the kernels, so that the first start is quick on the same kind of CPU.
ENV NUMBA_CACHE_DIR=/home/driver/kernels
RUN udacity-gym doctor

WORKDIR /work
EXPOSE 8420
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8420), 5)"]
CMD ["udacity-gym", "cockpit", "/work", "--host", "0.0.0.0"]
