package import CTLS
package import SquallLoad

/// What all TLS connections of one loop share: versions, ciphers, authorities, identity, tickets and
/// the verdicts on chains.
@safe package final class TLSContext {
  /// For the calls of CTLS; lives as long as this.
  @safe package let raw: OpaquePointer

  /// Says what is wrong with the options, as the end of a sentence.
  package struct Refusal: Error, CustomStringConvertible {
    package var description: String
  }

  /// A client's.
  package convenience init(_ plan: TLSPlan) throws(Refusal) {
    try self.init(
      serves: false, versions: plan.versionMin...max(plan.versionMin, plan.versionMax),
      verifies: plan.verifies, resumes: plan.resumes, authorities: plan.authorities,
      certificate: plan.certificate, key: plan.key, protocols: plan.protocolBytes,
      ciphers: plan.ciphers, groups: plan.groups)
  }

  /// Of the keys under which a server seals its tickets.
  package static let ticketKeysByteCount = Int(SQUALL_TLS_TICKET_KEYS_BYTES)

  /// A server's. `protocols` as `TLSPlan.protocolBytes`. Servers with the same `ticketKeys` resume each
  /// other's sessions.
  package convenience init(
    serving certificate: [UInt8], key: [UInt8], protocols: [UInt8],
    versions: ClosedRange<UInt16> = 0x0303...0x0304, resumes: Bool = true,
    ticketKeys: [UInt8] = [], groups: String = ""
  ) throws(Refusal) {
    try self.init(
      serves: true, versions: versions, verifies: false, resumes: resumes, authorities: [],
      certificate: certificate, key: key, protocols: protocols, ciphers: "", groups: groups,
      ticketKeys: ticketKeys)
  }

  private init(
    serves: Bool, versions: ClosedRange<UInt16>, verifies: Bool, resumes: Bool,
    authorities: [UInt8], certificate: [UInt8], key: [UInt8], protocols: [UInt8], ciphers: String,
    groups: String, ticketKeys: [UInt8] = []
  ) throws(Refusal) {
    var text = [CChar](repeating: 0, count: Int(SQUALL_TLS_TEXT_BYTES))
    let raw = unsafe Self.with(authorities) { authorities in
      unsafe Self.with(certificate) { certificate in
        unsafe Self.with(key) { key in
          unsafe Self.with(protocols) { protocols in
            unsafe Self.with(ticketKeys) { ticketKeys in
              unsafe ciphers.withCString { ciphersText in
                unsafe groups.withCString { groupsText in
                  var options = unsafe squall_tls_options(
                    serves: serves, version_min: versions.lowerBound,
                    version_max: versions.upperBound, verifies: verifies, resumes: resumes,
                    authorities: authorities, chain: certificate, key: key, protocols: protocols,
                    ciphers: ciphers.isEmpty ? nil : ciphersText,
                    groups: groups.isEmpty ? nil : groupsText, ticket_keys: ticketKeys)
                  return unsafe squall_tls_context_create(&options, &text)
                }
              }
            }
          }
        }
      }
    }
    guard let raw = unsafe raw else { throw Refusal(description: Self.string(text)) }
    self.raw = unsafe raw
  }

  deinit { unsafe squall_tls_context_destroy(raw) }

  /// Connections made from now on keep the library's record layer: the oracle of tests.
  package func keepLibrary(_ keeps: Bool) { unsafe squall_tls_context_keep_library(raw, keeps) }

  /// Our keys are changed after so many records: for tests, which do not seal sixteen million.
  package func limitRecords(_ count: UInt64) { unsafe squall_tls_context_limit_records(raw, count) }

  private static func with<Value>(_ bytes: [UInt8], _ body: (squall_tls_bytes) -> Value) -> Value {
    unsafe bytes.withUnsafeBufferPointer {
      unsafe body(squall_tls_bytes(bytes: $0.baseAddress, count: $0.count))
    }
  }

  static func string(_ text: [CChar]) -> String {
    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension TLSFacts {
  package init(_ raw: squall_tls_facts) {
    var name = raw.protocol
    let spoken = unsafe withUnsafeBytes(of: &name) {
      unsafe String(decoding: $0.prefix(Int(raw.protocol_bytes)), as: UTF8.self)
    }
    let cipher = unsafe squall_tls_cipher_name(raw.cipher).map { unsafe String(cString: $0) }
    let group = unsafe squall_tls_group_name(raw.group).map { unsafe String(cString: $0) }
    self.init(
      version: raw.version, cipher: raw.cipher, group: raw.group,
      chainByteCount: raw.chain_bytes, applicationProtocol: spoken, cipherName: cipher ?? "",
      groupName: group ?? "")
  }
}

extension squall_tls_failure {
  /// The library's words, or ours.
  package var words: String {
    var text = text
    return unsafe withUnsafeBytes(of: &text) {
      unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
