/** What is offered to clients, best first; each client chooses the first of its own list that is here. */
export const algorithms = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'diffie-hellman-group16-sha512',
    // For clients without X25519, as Ruby's net-ssh 7 is packaged.
    'diffie-hellman-group14-sha256',
  ],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes256-ctr',
    'aes128-ctr',
  ],
  mac: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    // libssh2 1.10 knows neither EtM nor the ciphers that need no MAC.
    'hmac-sha2-256',
    'hmac-sha2-512',
  ],
};
