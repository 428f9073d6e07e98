# The library and its command in a container.
#     docker build -t twohand .                                        CPU
#     docker build -t twohand:cuda --build-arg EXTRAS=data,cuda13 .    NVIDIA GPUs
#     docker build -t twohand:tpu --build-arg EXTRAS=data,tpu,gcs .    TPUs
#     docker run --rm -v "$PWD:/work" twohand reconstruct photo.jpg --out out
# CUDA's libraries come as wheels with JAX; of the host a driver is needed
# (docker run --gpus all). What is installed is what setup.cfg says.
FROM python:3.12-slim

ARG EXTRAS=data
COPY . /source
RUN pip install --no-cache-dir "/source[${EXTRAS}]" && rm -r /source

RUN useradd --create-home twohand
USER twohand
WORKDIR /work
ENTRYPOINT ["twohand"]
CMD ["--help"]
