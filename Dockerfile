# One image for every process of Cumulet: the command says which. See docker-compose.yml.
FROM node:24-bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends qemu-system-x86 qemu-utils libvirt-daemon libvirt-daemon-driver-qemu genisoimage \
      iproute2 nftables dnsmasq-base haproxy procps kmod util-linux \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/cumulet
COPY package.json package-lock.json ./
COPY packages packages
COPY services services
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force
COPY setup setup
COPY migrations migrations
COPY policy policy
ENV CUMULET_HOME=/var/lib/cumulet CUMULET_BIND=0.0.0.0
VOLUME /var/lib/cumulet
ENTRYPOINT ["node"]
