import ArgumentParser
import SquallNode

/// How bytes travel and messages stand in them: TLS and the version of HTTP.
struct WireOptions: ParsableArguments {
  @Flag(help: "Without a URL: TLS to the built-in target, whose certificate is checked.")
  var tls = false

  @Flag(
    name: .customShort("k"),
    help:
      "TLS without a check of the target's certificate; also --insecure, except for squall master.")
  var insecure = false

  @Option(
    help: ArgumentHelp(
      "Authorities that may sign the target's certificate, in PEM, in place of this host's.",
      valueName: "file"))
  var cacert: String?

  @Option(help: ArgumentHelp("Our own certificate, in PEM, for mutual TLS.", valueName: "file"))
  var cert: String?

  @Option(
    help: ArgumentHelp(
      "The key of --cert, in PEM, not encrypted. A master sends it to its workers and records it nowhere.",
      valueName: "file"))
  var key: String?

  @Option(
    help: ArgumentHelp("Lowest TLS version: 1.2 or 1.3 (default: 1.2).", valueName: "version"))
  var tlsMin: String?

  @Option(
    help: ArgumentHelp("Highest TLS version: 1.2 or 1.3 (default: 1.3).", valueName: "version"))
  var tlsMax: String?

  @Option(help: ArgumentHelp("Ciphers of TLS 1.2, as OpenSSL names them.", valueName: "list"))
  var ciphers: String?

  @Option(
    help: ArgumentHelp(
      "Groups for the key exchange, the best first (default: X25519:P-256:P-384).",
      valueName: "list"))
  var tlsGroups: String?

  @Option(
    help: ArgumentHelp(
      "Name in the hello and in the target's certificate (default: the URL's host).",
      valueName: "name"))
  var sni: String?

  @Option(
    help: ArgumentHelp(
      "Protocols to offer, separated by commas, or off (default: the one that is spoken).",
      valueName: "list"))
  var alpn: String?

  @Option(
    help: ArgumentHelp(
      "full: each connection has a full handshake; resume: by tickets where the target gives them "
        + "(default: full).", valueName: "full|resume"))
  var tlsSession: String?

  @Flag(name: .customLong("http1.1"), help: "HTTP/1.1, the default, also over TLS.")
  var http1 = false

  @Flag(
    name: .customLong("http2"), help: "HTTP/2 over TLS; a target that does not agree is refused.")
  var http2 = false

  @Flag(
    name: .customLong("http2-prior-knowledge"),
    help: "HTTP/2 without TLS, for a target that expects it.")
  var http2PriorKnowledge = false

  @Option(
    help: ArgumentHelp(
      "Streams at a time on one HTTP/2 connection (default: 1, with -R 100); no more than the target "
        + "allows.", valueName: "count"), transform: Read.count)
  var streams: UInt64?

  /// Of --key; empty without one.
  func keyBytes() throws(Complaint) -> [UInt8] { try TLSDraft.keyBytes(key) }

  func fill(_ draft: inout PlanDraft) throws {
    guard [http1, http2, http2PriorKnowledge].filter({ $0 }).count <= 1 else {
      throw Complaint.usage(
        "--http1.1, --http2 and --http2-prior-knowledge contradict each other: give one of them.")
    }
    draft.version = http2 ? .http2 : http2PriorKnowledge ? .http2PriorKnowledge : .http1
    draft.streams = streams
    draft.tls.isToBuiltIn = tls
    draft.tls.isInsecure = insecure
    draft.tls.authorities = cacert
    draft.tls.certificate = cert
    draft.tls.key = key
    draft.tls.versionMin = tlsMin
    draft.tls.versionMax = tlsMax
    draft.tls.ciphers = ciphers
    draft.tls.groups = tlsGroups
    draft.tls.serverName = sni
    draft.tls.protocols = alpn
    draft.tls.session = tlsSession
  }
}
