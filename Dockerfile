# The agent's image: Node.js, chroot and the program, with the libraries that these need. No shell, no package manager,
# and nothing is written: it runs with a read-only root file system and starts the node's own programs by chroot.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag node-ca-trust:0.1.0 .
#   docker buildx build --target sbom --output . .        # what the image holds, as sbom.cdx.json
#
# The same sources, base and SOURCE_DATE_EPOCH make the same image. That time is in what the image says of itself alone: the
# first layer stays the same from one release to the next.

# By the digest of its index, which names all architectures: a tag can come to mean something else. For a newer base,
# `docker buildx imagetools inspect TAG` prints the digest; its Node.js is the version that package.json names.
ARG BASE=docker.io/library/node:24.21.0-bookworm-slim@sha256:d6aa754f16b3197301076f047b5def2f02ea1dbbc2ca920407d46d7ec7f87b20

# The root file system, put together on the base of the architecture it is for:
# 1. Both programs and each file that the dynamic loader opens for them, the loader included.
# 2. The Debian packages these come from: their licences, and the records from which scanners read their versions.
# 3. Names for user and group 0, and how names of hosts are looked up.
# 4. The places at which the node and the bundle are mounted. Where the node's /usr alone is, links lead to its programs
#    and libraries, as on a node.
# 5. Both programs run, or the build fails here and not on a node.
# 6. No time of this build stays in a file.
FROM ${BASE} AS rootfs
RUN set -eu; umask 022; \
    files=$(for program in node chroot; do \
      path=$(command -v "$program"); echo "$path"; ldd "$path" | grep -o '/[^ ]*'; done | sort -u); \
    mkdir -p /rootfs/var/lib/dpkg/status.d /rootfs/etc/node-ca-trust/bundle /rootfs/host; \
    for name in bin sbin lib lib64; do ln -s "usr/$name" "/rootfs/host/$name"; done; \
    cp -L --parents $files /rootfs; \
    for file in $files; do dpkg -S "*/${file##*/}" 2>/dev/null | cut -d: -f1; done | sort -u > /packages; \
    while read -r package; do \
      dpkg-query -s "$package" > "/rootfs/var/lib/dpkg/status.d/$package"; \
      cp -L --parents "/usr/share/doc/$package/copyright" /rootfs; \
    done < /packages; \
    if [ -e /usr/local/LICENSE ]; then install -D -m 644 /usr/local/LICENSE /rootfs/usr/share/doc/node/copyright; fi; \
    cp -L /etc/os-release /rootfs/etc/os-release; \
    echo 'root:x:0:0:root:/:/usr/sbin/nologin' > /rootfs/etc/passwd; \
    echo 'root:x:0:' > /rootfs/etc/group; \
    echo 'hosts: files dns' > /rootfs/etc/nsswitch.conf; \
    chroot /rootfs chroot / node --version; \
    chroot /rootfs node --print 'JSON.stringify(process.versions)' > /versions.json; \
    find /rootfs -exec touch -h -d @0 {} +

# The program is the same for every architecture: it is built once, on the builder's own.
FROM --platform=$BUILDPLATFORM ${BASE} AS program
WORKDIR /src
COPY package.json package-lock.json ./
# With the optional dependencies, since the bundler's binary is one. The build needs no package's install script.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build

# The program's layer, with the list of all that the image holds: that of its own architecture.
FROM program AS app
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,from=rootfs,target=/base set -eu; umask 022; \
    mkdir -p /out/app; \
    install -m 644 LICENSE dist/* /out/app/; \
    node deploy/image/sbom.mjs metafile.json /base/versions.json /base/rootfs > /out/app/sbom.cdx.json; \
    find /out -exec touch -h -d @0 {} +

FROM scratch AS sbom
COPY --from=app /out/app/sbom.cdx.json /

FROM scratch
# The large layer first: it changes with Node.js alone, so a node that has it pulls only a new program.
COPY --from=rootfs /rootfs/ /
COPY --from=app /out/ /
ENV NODE_ENV=production \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# A node's trust store belongs to root.
USER 0:0
# Options for memory at rest: no optimizing compilers for a program that waits, a small nursery, and leave for the program
# to give back what a pass took.
ENTRYPOINT ["node", "--expose-gc", "--no-opt", "--no-maglev", "--max-semi-space-size=1", "/app/node-ca-trust.cjs"]
CMD ["run"]
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="node-ca-trust" \
      org.opencontainers.image.description="Your CAs, trusted on every labelled Kubernetes node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
