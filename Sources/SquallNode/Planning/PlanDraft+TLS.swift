internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallTLS

/// What a user says of TLS, unchecked.
package struct TLSDraft {
  /// TLS to the built-in target, whose certificate is then the one to trust.
  package var isToBuiltIn = false
  /// That certificate, in PEM.
  package var builtInAuthority: [UInt8] = []
  package var isInsecure = false
  /// Of several targets some have TLS.
  var isOptional = false
  /// Files.
  package var authorities: String?
  package var certificate: String?
  package var key: String?
  package var versionMin: String?
  package var versionMax: String?
  package var ciphers: String?
  package var groups: String?
  package var serverName: String?
  /// Separated by commas, or `off`.
  package var protocols: String?
  /// `full` or `resume`.
  package var session: String?

  /// What stands in the file of a key; nothing without one.
  package static func keyBytes(_ path: String?) throws(Complaint) -> [UInt8] {
    try PlanDraft.file(path, "--key")
  }

  /// A flag that was given.
  fileprivate var firstFlag: String? {
    let flags: [(String, Bool)] = [
      ("-k", isInsecure), ("--cacert", authorities != nil), ("--cert", certificate != nil),
      ("--key", key != nil), ("--tls-min", versionMin != nil), ("--tls-max", versionMax != nil),
      ("--ciphers", ciphers != nil), ("--tls-groups", groups != nil), ("--sni", serverName != nil),
      ("--alpn", protocols != nil), ("--tls-session", session != nil),
    ]
    return flags.first { $0.1 }?.0
  }
}

/// What is to be spoken.
package enum HTTPVersionDraft {
  case http1, http2, http2PriorKnowledge
}

extension PlanDraft {
  /// Streams a connection has in an open loop unless the user says otherwise: as many as are opened
  /// before the target's word of how many it allows (RFC 9113 section 6.5.2).
  static let openLoopStreamCount: UInt32 = 100
  package static let streamCountMax: UInt64 = 10_000

  /// Sets TLS and the version of HTTP.
  func setWire(_ plan: inout Plan, for target: TargetURL) throws(Complaint) {
    plan.origin.tls = try tlsPlan(for: target)
    plan.connections.streams = try streamCount(for: target, plan)
    guard plan.connections.streams > 0 else { return }
    guard pipeline == 1 else {
      throw .usage("--pipeline is for HTTP/1.1: HTTP/2 has --streams \(pipeline) for that.")
    }
    guard plan.content.program.isEmpty else { return }
    for endpoint in plan.content.endpoints
    where H2RequestTemplate(rendered: endpoint.request, scheme: "https") == nil {
      throw .usage(Self.fieldsOfConnections)
    }
  }

  static let fieldsOfConnections =
    "a header that belongs to a connection, such as Connection or Transfer-Encoding, which cannot be "
    + "sent over HTTP/2: leave it out."

  private func streamCount(for target: TargetURL, _ plan: Plan) throws(Complaint) -> UInt32 {
    switch version {
    case .http1:
      guard streams == nil else {
        throw .usage(
          "--streams is for HTTP/2: add --http2, or use --pipeline for HTTP/1.1.")
      }
      return 0
    case .http2:
      guard target.isSecure else {
        throw .usage(
          "--http2 is agreed on in TLS: use an https:// target (or --tls for the built-in one), or "
            + "--http2-prior-knowledge.")
      }
    case .http2PriorKnowledge:
      guard !target.isSecure else {
        throw .usage("--http2-prior-knowledge is for http:// targets: use --http2 with https://.")
      }
    }
    let hasUsers = !plan.content.program.isEmpty
    let isApart = hasUsers ? plan.connections.shared > 0 : plan.load != .closed
    guard let streams else { return isApart ? Self.openLoopStreamCount : 1 }
    guard !hasUsers || isApart || streams == 1 else {
      throw .usage(
        "--streams \(streams) is for connections that users share, and here each has one of its own for "
          + "one request at a time: write 'connections: shared N' in the scenario, or leave it out."
      )
    }
    guard (1...Self.streamCountMax).contains(streams) else {
      throw .usage("--streams \(streams) is outside of 1 to \(Self.streamCountMax).")
    }
    return UInt32(streams)
  }

  func tlsPlan(for target: TargetURL) throws(Complaint) -> TLSPlan? {
    guard !tls.isToBuiltIn || !tls.builtInAuthority.isEmpty else {
      throw .usage("--tls is for the built-in target: with a target of yours, write https://.")
    }
    guard target.isSecure else {
      if let flag = tls.firstFlag, !tls.isOptional {
        throw .usage("\(flag) is for TLS: use an https:// target, or leave it out.")
      }
      return nil
    }
    var plan = TLSPlan(serverName: tls.serverName ?? target.host)
    guard !plan.serverName.isEmpty, plan.serverName.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else {
      throw .usage("--sni '\(plan.serverName)' is no host name: write it as www.example.com.")
    }
    plan.verifies = !tls.isInsecure
    if tls.isInsecure && tls.authorities != nil {
      throw .usage("-k checks no certificate and --cacert says by whom: give one of them.")
    }
    plan.versionMin = try Self.version(tls.versionMin, "--tls-min") ?? plan.versionMin
    plan.versionMax = try Self.version(tls.versionMax, "--tls-max") ?? plan.versionMax
    guard plan.versionMin <= plan.versionMax else {
      throw .usage("--tls-min is above --tls-max: no version is left.")
    }
    switch tls.session {
    case nil, "full": break
    case "resume": plan.resumes = true
    case .some(let other):
      throw .usage("--tls-session '\(other)' is neither full nor resume.")
    }
    plan.ciphers = tls.ciphers ?? ""
    plan.groups = tls.groups ?? ""
    plan.protocols = try protocols()
    guard (tls.certificate == nil) == (tls.key == nil) else {
      throw .usage("--cert and --key belong together: give both.")
    }
    plan.authorities =
      tls.authorities == nil ? tls.builtInAuthority : try Self.file(tls.authorities, "--cacert")
    plan.certificate = try Self.file(tls.certificate, "--cert")
    plan.key = try Self.file(tls.key, "--key")
    do throws(TLSContext.Refusal) {
      _ = try TLSContext(plan)
    } catch {
      throw .usage("TLS as asked for cannot be: \(error).")
    }
    return plan
  }

  private func protocols() throws(Complaint) -> [String] {
    guard let text = tls.protocols else { return [version == .http1 ? "http/1.1" : "h2"] }
    guard text != "off" else {
      guard version == .http1 else {
        throw .usage("--alpn off leaves nothing to agree on HTTP/2 by: leave it out.")
      }
      return []
    }
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard names.allSatisfy({ (1...255).contains($0.utf8.count) }) else {
      throw .usage("--alpn '\(text)' has an empty or too long name: write it as h2,http/1.1.")
    }
    guard version == .http1 || names.contains("h2") else {
      throw .usage("--alpn '\(text)' does not offer h2, which --http2 needs.")
    }
    return names
  }

  private static func version(_ text: String?, _ flag: String) throws(Complaint) -> UInt16? {
    switch text {
    case nil: nil
    case "1.2": 0x0303
    case "1.3": 0x0304
    case .some(let other): throw .usage("\(flag) '\(other)' is neither 1.2 nor 1.3.")
    }
  }

  static func file(_ path: String?, _ flag: String) throws(Complaint) -> [UInt8] {
    guard let path else { return [] }
    guard let bytes = readBytes(path) else {
      throw .usage("\(flag) \(path): \(SystemError.explain(errno)); name a readable file.")
    }
    guard !bytes.isEmpty else {
      throw .usage("\(flag) \(path) is empty: name a file in PEM.")
    }
    return bytes
  }
}
