// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]
// Of scripts/portable: a linker that can leave sections out, and no library of the compiler's beside the program.
let portable: [LinkerSetting] =
  Context.environment["SQUALL_PORTABLE"] == nil
  ? [] : [.unsafeFlags(["-use-ld=lld", "-Xclang-linker", "-static-libgcc"])]
// OpenSSL's libssl in place of the BoringSSL that swift-nio-ssl carries: CTLS/libssl.h.
let usesLibssl = Context.environment["SQUALL_LIBSSL"] != nil
let tests: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
  name: "squall",
  products: [
    .executable(name: "squall", targets: ["squall"]),
    .library(name: "SquallLoad", targets: ["SquallLoad"]),
    .library(name: "SquallHTTP", targets: ["SquallHTTP"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    // Traits that are on by themselves would bring all of Foundation.
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    // CTLS includes headers of the BoringSSL inside, which promises no stable API.
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(
      url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .target(
      name: "CSquall", path: "CShims",
      cSettings: [.treatAllWarnings(as: .error), .enableWarning("all"), .enableWarning("extra")],
      linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("z")]),
    .target(
      name: "CTLS",
      dependencies: usesLibssl ? [] : [.product(name: "NIOSSL", package: "swift-nio-ssl")],
      path: "CTLS",
      cSettings: [.treatAllWarnings(as: .error), .enableWarning("all"), .enableWarning("extra")]
        + (usesLibssl ? [.define("SQUALL_LIBSSL")] : []),
      cxxSettings: usesLibssl ? [.define("SQUALL_LIBSSL")] : [],
      linkerSettings: usesLibssl ? [.linkedLibrary("ssl"), .linkedLibrary("crypto")] : []),
    .target(
      name: "CFiles", path: "CFiles",
      cSettings: [.treatAllWarnings(as: .error), .enableWarning("all"), .enableWarning("extra")],
      linkerSettings: [.linkedLibrary("sqlite3"), .linkedLibrary("yaml")]),
    .target(name: "SquallLoad", swiftSettings: strict),
    .target(name: "SquallHTTP", swiftSettings: strict),
    .target(name: "SquallReport", dependencies: ["SquallLoad"], swiftSettings: strict),
    .target(
      name: "SquallScenario", dependencies: ["SquallHTTP", "SquallLoad"], swiftSettings: strict),
    .target(name: "SquallCluster", dependencies: ["SquallLoad"], swiftSettings: strict),
    .target(name: "SquallTLS", dependencies: ["CTLS", "SquallLoad"], swiftSettings: strict),
    .target(name: "SquallEngine", dependencies: ["CSquall"], swiftSettings: strict),
    .target(
      name: "SquallClient",
      dependencies: [
        "CTLS", "SquallEngine", "SquallHTTP", "SquallLoad", "SquallScenario",
        "SquallTLS",
      ],
      swiftSettings: strict),
    .target(
      name: "SquallTarget",
      dependencies: ["CTLS", "SquallEngine", "SquallHTTP", "SquallTLS"],
      swiftSettings: strict),
    .target(
      name: "SquallPage", resources: [.embedInCode("Assets")], swiftSettings: strict),
    .target(
      name: "SquallNode",
      dependencies: [
        "CFiles", "SquallClient", "SquallCluster", "SquallEngine", "SquallHTTP", "SquallLoad",
        "SquallPage", "SquallReport", "SquallScenario", "SquallTLS", "SquallTarget",
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "squall",
      dependencies: [
        "SquallNode", "SquallLoad", "SquallReport", "SquallTarget",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict, linkerSettings: portable),
    .testTarget(
      name: "PureTests",
      dependencies: [
        "SquallLoad", "SquallHTTP", "SquallCluster", "SquallReport", "SquallScenario",
        .product(name: "Histogram", package: "hdrhistogram-swift"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHPACK", package: "swift-nio-http2"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ],
      swiftSettings: tests),
    .testTarget(
      name: "SimulationTests", dependencies: ["SquallCluster", "SquallLoad"],
      swiftSettings: tests),
    .target(name: "CRefusal", path: "Tests/CRefusal"),
    .testTarget(
      name: "EngineTests",
      dependencies: [
        "CRefusal", "CSquall", "SquallClient", "SquallCluster", "SquallEngine", "SquallLoad",
        "SquallNode", "SquallReport", "SquallScenario", "SquallTLS", "SquallTarget",
      ],
      swiftSettings: tests),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["CRefusal", "squall", "SquallCluster", "SquallLoad", "SquallTLS"],
      swiftSettings: tests),
  ]
)
