# gpts-data and its trainer. This image is not built by the tests.
#   docker build -t gpts-data .
#   docker run --rm -v "$PWD:/work" gpts-data build-mix --recipe sample --tokens 1M --out mix
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[train]" && rm -r /src
# Compiles the filters into the image, and shows that it works.
RUN gpts-data build-mix --recipe sample --tokens 100k --out /tmp/mix && gpts-data verify /tmp/mix && rm -r /tmp/mix
WORKDIR /work
ENTRYPOINT ["gpts-data"]
