internal import CTLS
internal import Glibc

/// A certificate and its key in PEM.
package struct Certificate: Sendable {
  package var chain: [UInt8]
  package var key: [UInt8]

  package init(chain: [UInt8], key: [UInt8]) {
    self.chain = chain
    self.key = key
  }

  package struct Options {
    package var commonName = "squall"
    /// DNS names and addresses.
    package var names: [String] = ["localhost", "127.0.0.1", "::1"]
    /// Seconds since 1970.
    package var validity: ClosedRange<Int64>
    package var isAuthority = false
    package var isRSA = false
    package var issuer: Certificate?

    package init(validity: ClosedRange<Int64>) { self.validity = validity }
  }

  /// Makes a key and a certificate of it, self-signed without an issuer. Fails with the end of a
  /// sentence.
  package static func make(_ options: Options) throws(TLSContext.Refusal) -> Certificate {
    var text = [CChar](repeating: 0, count: Int(SQUALL_TLS_TEXT_BYTES))
    var chain: UnsafeMutablePointer<CChar>?
    var key: UnsafeMutablePointer<CChar>?
    let issuerChain = options.issuer?.chain ?? []
    let issuerKey = options.issuer?.key ?? []
    let isMade = unsafe options.commonName.withCString { commonName in
      unsafe options.names.joined(separator: ",").withCString { names in
        unsafe issuerChain.withUnsafeBufferPointer { issuerChain in
          unsafe issuerKey.withUnsafeBufferPointer { issuerKey in
            var raw = unsafe squall_certificate_options(
              common_name: commonName, names: names, not_before: options.validity.lowerBound,
              not_after: options.validity.upperBound, is_authority: options.isAuthority,
              is_rsa: options.isRSA,
              issuer_chain: squall_tls_bytes(
                bytes: issuerChain.baseAddress, count: issuerChain.count),
              issuer_key: squall_tls_bytes(bytes: issuerKey.baseAddress, count: issuerKey.count))
            return unsafe squall_certificate_make(&raw, &chain, &key, &text)
          }
        }
      }
    }
    guard isMade, let chain = unsafe chain, let key = unsafe key else {
      throw TLSContext.Refusal(description: TLSContext.string(text))
    }
    defer {
      unsafe free(chain)
      unsafe free(key)
    }
    return unsafe Certificate(
      chain: Array(String(cString: chain).utf8), key: Array(String(cString: key).utf8))
  }
}
