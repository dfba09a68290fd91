internal import CTLS

/// SHA-256 (FIPS 180-4), 32 bytes.
package func sha256(_ bytes: [UInt8]) -> [UInt8] {
  unsafe [UInt8](unsafeUninitializedCapacity: Int(SQUALL_SHA256_BYTES)) { digest, count in
    unsafe bytes.withUnsafeBytes {
      unsafe squall_sha256($0.baseAddress, $0.count, digest.baseAddress)
    }
    count = Int(SQUALL_SHA256_BYTES)
  }
}

/// HMAC-SHA-256 (RFC 2104), 32 bytes.
package func hmacSHA256(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
  unsafe [UInt8](unsafeUninitializedCapacity: Int(SQUALL_SHA256_BYTES)) { mac, count in
    let isMade = unsafe key.withUnsafeBytes { key in
      unsafe bytes.withUnsafeBytes {
        unsafe squall_hmac_sha256(
          key.baseAddress, key.count, $0.baseAddress, $0.count, mac.baseAddress)
      }
    }
    precondition(isMade, "no memory for a message authentication code")
    count = Int(SQUALL_SHA256_BYTES)
  }
}
