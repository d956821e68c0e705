# The course in a container, from the same lock as everywhere else:
#   docker build -t d2l-rnn .
#   docker run --rm --network host d2l-rnn             # the book, as 'make serve'
#   docker run --rm d2l-rnn make test
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends make libgomp1 libquadmath0 && rm -rf /var/lib/apt/lists/*
WORKDIR /course
COPY . .
RUN make setup
RUN make book
CMD ["make", "serve"]
