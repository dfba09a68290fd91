// swift-tools-version: 6.2
import PackageDescription

let swift: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]
/// As in the product's own package.
let product: [SwiftSetting] = swift + [.strictMemorySafety()]
let c: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]

let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    // The floor over TLS includes headers of the BoringSSL inside, as the product does.
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    // Its interposers for malloc and the runtime are traits, and not to be had everywhere.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
  ],
  targets: [
    // The clients and targets that are ours. Each is a program of its own, because the suite
    // measures whole processes.
    .target(name: "ClientSupport", path: "Clients/Support", cSettings: c),
    .executableTarget(
      name: "floor", dependencies: ["ClientSupport"], path: "Clients/Floor", cSettings: c,
      linkerSettings: [.linkedLibrary("uring")]),
    .executableTarget(
      name: "epoll", dependencies: ["ClientSupport"], path: "Clients/Epoll", cSettings: c),
    .target(name: "Wire", dependencies: ["ClientSupport"], path: "Clients/Wire", cSettings: c),
    .executableTarget(
      name: "tls-floor",
      dependencies: ["Wire", .product(name: "NIOSSL", package: "swift-nio-ssl")],
      path: "Clients/TLSFloor", cSettings: c),
    .executableTarget(
      name: "h2c-floor", dependencies: ["Wire"], path: "Clients/H2CFloor", cSettings: c),
    .executableTarget(
      name: "responder", path: "Clients/Responder", cSettings: c,
      linkerSettings: [.linkedLibrary("uring")]),
    .executableTarget(
      name: "nio-client",
      dependencies: [
        "ClientSupport",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ],
      path: "Clients/NIO", swiftSettings: swift),
    .executableTarget(
      name: "async-http-client",
      dependencies: [
        "ClientSupport",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      path: "Clients/AsyncHTTPClient", swiftSettings: swift),

    .target(name: "CAffinity", cSettings: c),
    .target(name: "Comparison", dependencies: ["CAffinity"], swiftSettings: swift),
    .executableTarget(
      name: "compare",
      dependencies: [
        "Comparison", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: swift),
    .testTarget(
      name: "ComparisonTests", dependencies: ["Comparison"], exclude: ["Fixtures"],
      swiftSettings: [.treatAllWarnings(as: .error)]),

    // The product's own modules by links to their folders: what is measured is `package`, which
    // another package would not see.
    .target(
      name: "CSquall", path: "Product/CSquall",
      linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("z")]),
    .target(name: "SquallLoad", path: "Product/SquallLoad", swiftSettings: product),
    .target(name: "SquallHTTP", path: "Product/SquallHTTP", swiftSettings: product),
    .target(
      name: "SquallCluster", dependencies: ["SquallLoad"], path: "Product/SquallCluster",
      swiftSettings: product),
    .target(
      name: "SquallEngine", dependencies: ["CSquall"], path: "Product/SquallEngine",
      swiftSettings: product),
    .target(name: "CAllocations", cSettings: c),
    .executableTarget(
      name: "Micro",
      dependencies: [
        "CAllocations", "SquallCluster", "SquallEngine", "SquallHTTP", "SquallLoad",
        .product(name: "Benchmark", package: "benchmark"),
      ],
      path: "Micro", swiftSettings: [.treatAllWarnings(as: .error)],
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
  ]
)
