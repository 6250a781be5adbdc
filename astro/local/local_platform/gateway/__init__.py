"""The gateway of the local platform: Envoy, fed from HTTPRoutes, Services and EndpointSlices.

`translate` is pure; `dataplane` and `xds` carry its result to Envoy; `service` is the control loop.
"""
