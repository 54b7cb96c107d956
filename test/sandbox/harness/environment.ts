// The environment of every process that a test starts: nothing of the machine's own TLS or proxy settings leaks in.

/** SSL_CERT_FILE, CURL_CA_BUNDLE, HTTPS_PROXY and their like would make a judge look elsewhere than in the store. */
export const cleanEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
};
