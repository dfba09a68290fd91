/// What a plan says of TLS to its targets.
public struct TLSPlan: Equatable, Sendable {
  /// Whom the certificate must be of, and, unless it is an address, whom the hello names
  /// (RFC 6066 section 3). Empty: nobody, which only a plan that does not verify may want.
  public var serverName: String
  public var verifies = true
  /// Tickets are kept and used. Otherwise each connection has a full handshake.
  public var resumes = false
  /// 0x0303 for TLS 1.2, 0x0304 for 1.3.
  public var versionMin: UInt16 = 0x0303
  public var versionMax: UInt16 = 0x0304
  /// Of TLS 1.2, as OpenSSL spells them; empty for all.
  public var ciphers = ""
  /// Such as `X25519:P-256`; empty for X25519, P-256 and P-384.
  public var groups = ""
  /// Names offered by ALPN (RFC 7301).
  public var protocols: [String] = []
  /// PEM; empty for the host's own.
  public var authorities: [UInt8] = []
  /// PEM, our own first; empty for none.
  public var certificate: [UInt8] = []
  public var key: [UInt8] = []

  public init(serverName: String) { self.serverName = serverName }

  fileprivate mutating func take(key: [UInt8]) {
    if !certificate.isEmpty { self.key = key }
  }

  /// There is a certificate, and its key was left out.
  public var lacksKey: Bool { !certificate.isEmpty && key.isEmpty }

  /// ALPN's list as it stands in a hello: each name behind its length.
  public var protocolBytes: [UInt8] {
    protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
  }
}

extension Plan {
  /// As it is written down: a key stands in no file of ours.
  package var withoutKey: Plan { with(key: []) }

  /// With the key of the certificate that its targets are shown.
  package func with(key: [UInt8]) -> Plan {
    var plan = self
    plan.origin.tls?.take(key: key)
    for index in plan.otherOrigins.indices { plan.otherOrigins[index].tls?.take(key: key) }
    return plan
  }

  /// The same for every origin that has a certificate.
  package var key: [UInt8] { origins.lazy.compactMap { $0.tls?.key }.first { !$0.isEmpty } ?? [] }

  package var lacksKey: Bool { origins.contains { $0.tls?.lacksKey ?? false } }
}

/// Why TLS failed on a connection. The raw value is that of the C shim's reasons.
public enum TLSFailure: UInt8, CaseIterable, Sendable {
  case unknownCA = 1
  case wrongName, expired, notYetValid, badCertificate, badSignature, wrongVersion, noCommonCipher
  case noProtocol, alert, notTLS, badRecord, renegotiation, tooLarge, other, closed, timedOut

  public var finding: Finding {
    guard let finding = Finding(rawValue: Finding.tlsUnknownCA.rawValue + rawValue - 1) else {
      preconditionFailure("a failure without a finding")
    }
    return finding
  }

  /// As it stands in results.
  public var name: String { String(finding.name.dropFirst("tls_".count)) }

  /// What happened, as the rest of a sentence that begins with the target.
  public var explanation: String {
    switch self {
    case .unknownCA: "has a certificate that no known authority signed"
    case .wrongName: "has a certificate of another name"
    case .expired: "has a certificate that has expired"
    case .notYetValid: "has a certificate that is not valid yet"
    case .badCertificate: "has a certificate that does not verify"
    case .badSignature: "did not prove that it has its certificate's key"
    case .wrongVersion: "speaks no TLS version that was offered"
    case .noCommonCipher: "has no cipher or group in common with us"
    case .noProtocol: "agreed to no application protocol that was offered"
    case .alert: "ended TLS with an alert"
    case .notTLS: "does not speak TLS on this port"
    case .badRecord: "sent a TLS record that cannot be opened"
    case .renegotiation: "asked for a renegotiation, which is refused"
    case .tooLarge: "sent a handshake of more than 128 KiB"
    case .other: "failed in TLS"
    case .closed: "closed the connection during the TLS handshake"
    case .timedOut: "did not finish the TLS handshake in time"
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .unknownCA, .badCertificate:
      "give its authority with --cacert FILE, or measure without a check with -k"
    case .wrongName: "name it by --sni NAME, or measure without a check with -k"
    case .expired, .notYetValid:
      "renew it or set this host's clock, or measure without a check with -k"
    case .badSignature, .badRecord, .renegotiation, .tooLarge, .other:
      "--debug shows one handshake"
    case .wrongVersion: "widen --tls-min and --tls-max"
    case .noCommonCipher: "widen --ciphers or --tls-groups"
    case .noProtocol: "use --http1.1, or another --alpn"
    case .alert:
      "--debug shows it; a missing or refused client certificate is given with --cert and --key"
    case .notTLS: "use http://, or the port that speaks TLS"
    case .closed: "--debug shows one handshake; the target's log may say why"
    case .timedOut: "raise --connect-timeout, or open connections slower with --ramp"
    }
  }
}

/// What a handshake agreed on.
public struct TLSFacts: Equatable, Sendable {
  public var version: UInt16
  /// IANA's numbers.
  public var cipher: UInt16
  public var group: UInt16
  /// Of the peer's certificates; 0 where a ticket stood in for them.
  public var chainByteCount: UInt32
  /// ALPN's choice; empty for none.
  public var applicationProtocol: String
  public var cipherName: String
  public var groupName: String

  public init(
    version: UInt16, cipher: UInt16, group: UInt16, chainByteCount: UInt32,
    applicationProtocol: String, cipherName: String, groupName: String
  ) {
    self.version = version
    self.cipher = cipher
    self.group = group
    self.chainByteCount = chainByteCount
    self.applicationProtocol = applicationProtocol
    self.cipherName = cipherName
    self.groupName = groupName
  }

  /// `1.3`.
  public var versionName: String { Self.name(ofVersion: version) }

  public static func name(ofVersion version: UInt16) -> String {
    version >> 8 == 3 && version & 0xff > 0 ? "1.\((version & 0xff) - 1)" : "\(version)"
  }

  /// As a sample: words between spaces.
  public var sample: [UInt8] {
    let words = [
      "\(version)", "\(cipher)", "\(group)", "\(chainByteCount)", cipherName, groupName,
      applicationProtocol,
    ]
    return Array(words.map { $0.isEmpty ? "-" : $0 }.joined(separator: " ").utf8)
  }

  public init?(sample: [UInt8]) {
    let words = String(decoding: sample, as: UTF8.self).split(separator: " ").map(String.init)
    guard words.count == 7, let version = UInt16(words[0]), let cipher = UInt16(words[1]),
      let group = UInt16(words[2]), let chainByteCount = UInt32(words[3])
    else { return nil }
    let named = words[4...].map { $0 == "-" ? "" : $0 }
    self.init(
      version: version, cipher: cipher, group: group, chainByteCount: chainByteCount,
      applicationProtocol: named[2], cipherName: named[0], groupName: named[1])
  }
}
